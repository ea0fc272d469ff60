"""`iisan recommend --all`, `--users` and `--histories`: files in, files out, and a sentence for every fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iisan_core import BulkRequest, Recommender
from iisan_core.runs.run_folder import RunFolder
from iisan_core.serving.item_ids import condition_of

pytestmark = pytest.mark.usefixtures("one_thread")
Shell = Callable[..., Any]


def test_everybody_into_a_file(shell: Shell, finished: RunFolder, tmp_path: Path) -> None:
    out = tmp_path / "all.parquet"
    told = shell("recommend", finished.path, "--all", "-k", "7", "--out", out, "--json")
    assert told.code == 0, told.err
    assert json.loads(told.out) == {"out": str(out), "users": 80, "k": 7, "view": "now"}
    assert f"wrote the best 7 items of 80 users to {out}" in told.err
    wanted = Recommender.load(finished.path).recommend_frame(BulkRequest(k=7))
    assert_frame_equal(pl.read_parquet(out), wanted, rel_tol=1e-5)


def test_users_conditions_and_exclusions_from_files(shell: Shell, finished: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text("u03\n\nu01\nu03\n")
    (tmp_path / "exclude.csv").write_text("user_id,item_id\nu01,i02\nu77,i03\n")
    (tmp_path / "only.jsonl").write_text("".join(json.dumps({"item_id": f"i{n:02}"}) + "\n" for n in range(40)))
    out = tmp_path / "some.csv"
    told = shell(
        "recommend", finished.path, "--users", tmp_path / "users.txt", "--exclude", tmp_path / "exclude.csv",
        "--only", tmp_path / "only.jsonl", "--filter", "title LIKE '%2%'", "--view", "evaluation", "--seen",
        "--parts", "-k", "9", "--out", out,
    )  # fmt: skip
    assert told.code == 0, told.err
    request = BulkRequest(
        users=["u03", "u01"], view="evaluation", k=9, exclude_seen=False, candidates=[f"i{n:02}" for n in range(40)],
        filter=condition_of("title LIKE '%2%'"), exclude=pl.DataFrame({"user_id": ["u01"], "item_id": ["i02"]}),
        parts=True,
    )  # fmt: skip
    wanted = Recommender.load(finished.path).recommend_frame(request)
    assert_frame_equal(pl.read_csv(out).cast(wanted.schema), wanted, rel_tol=1e-5)


def test_histories_from_files(shell: Shell, finished: RunFolder, tmp_path: Path) -> None:
    rows = pl.DataFrame({"user_id": ["7", "x", "7"], "item_id": ["i09", "i01", "i03"], "timestamp": ["10", "1", "9"]})
    lists = pl.DataFrame({"user_id": [7, 8], "item_id": [["i03", "i09"], ["i01"]]})
    rows.write_csv(tmp_path / "rows.csv")
    rows.write_csv(tmp_path / "rows.tsv", separator="\t")
    lists.write_parquet(tmp_path / "lists.parquet")
    lists.write_ndjson(tmp_path / "lists.jsonl")
    answers = {}
    for name in ("rows.csv", "rows.tsv", "lists.parquet", "lists.jsonl"):
        out = tmp_path / "out.jsonl"
        told = shell("recommend", finished.path, "--histories", tmp_path / name, "-k", "3", "--out", out)
        assert told.code == 0, told.err
        answers[name] = pl.read_ndjson(out)["item_id"].to_list()
    assert len({tuple(found) for found in answers.values()}) == 1, "9 is before 10, whatever kind of file says so"


REFUSED = [
    (("--all",), "--all writes a file: name it with --out"),
    (("--all", "--users", "users.txt", "--out", "a.csv"), "--all and --users: give one of them"),
    (("--parts", "--user", "u01"), "--parts is for many users: say who, with --all"),
    (("--all", "--user", "u01", "--out", "a.csv"), "give no --user, --history or --index"),
    (("--all", "--out", "a.xlsx"), "ends in .parquet, .csv, .jsonl"),
    (("--all", "--out", "a.csv", "--filter", "title ~"), "is no condition"),
    (("--all", "--out", "a.csv", "-k", "61"), "k is 61; there are 60 items"),
    (("--users", "nowhere.txt", "--out", "a.csv"), "no list of users at nowhere.txt"),
    (("--users", "nowhere.parquet", "--out", "a.csv"), "no list of users at nowhere.parquet"),
    (("--users", "empty.txt", "--out", "a.csv"), "empty.txt is an empty list of users"),
    (("--users", "bytes.txt", "--out", "a.csv"), "no text in UTF-8"),
    (("--users", "users.xml", "--out", "a.csv"), "comes as a file that ends in"),
    (("--users", "bytes.parquet", "--out", "a.csv"), "it cannot be read"),
    (("--users", "empty.csv", "--out", "a.csv"), "it cannot be read"),
    (("--users", "items.csv", "--out", "a.csv"), "has the columns item_id, and user_id not among them"),
    (("--all", "--out", "a.csv", "--only", "gaps.csv"), "1 rows have no item_id"),
    (("--all", "--out", "a.csv", "--only", "floats.jsonl"), "the ids in 'item_id' are Float64"),
]


@pytest.mark.parametrize(("options", "sentence"), REFUSED)
def test_what_cannot_be_done_is_refused_with_a_sentence(
    shell: Shell, finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...], sentence: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    files = {
        "empty.txt": b"\n", "bytes.txt": b"\xff\xfe\x00", "bytes.parquet": b"PAR1", "empty.csv": b"",
        "items.csv": b"item_id\ni01\n", "gaps.csv": b"item_id,n\ni01,1\n,2\n", "floats.jsonl": b'{"item_id": 1.5}\n',
        "users.xml": b"<u/>", "users.txt": b"u01",
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    told = shell("recommend", finished.path, *options)
    assert told.code == 2
    assert sentence in " ".join(told.err.split())
    assert not list(tmp_path.glob("a.*"))


@pytest.mark.long
@pytest.mark.network
def test_two_processes_write_the_file_of_one(shell: Shell, finished: RunFolder, tmp_path: Path) -> None:
    program = (
        "from iisan_core.serving import bulk_files\n"
        "bulk_files.MOST_USERS = bulk_files.LEAST_USERS = 8\n"
        "from app.cli import main\n"
        "main()\n"
    )
    (tmp_path / "small.py").write_text(program)
    options = ["recommend", str(finished.path), "--all", "-k", "9", "--out"]
    for processes, name in ((1, "one.parquet"), (2, "two.parquet")):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        ended = subprocess.run(
            [*command, str(tmp_path / "small.py"), *options, str(tmp_path / name)],
            capture_output=True, text=True, check=False, timeout=300,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])},
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr.count("wrote the best 9 items of 80 users") == 1
    assert (tmp_path / "two.parquet").read_bytes() == (tmp_path / "one.parquet").read_bytes()
    assert not list(tmp_path.glob(".*"))
