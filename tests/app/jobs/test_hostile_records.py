"""Records that somebody damaged or made up hide no other run, and end in a sentence."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.jobs.listing import jobs_in, open_folder
from app.jobs.process import stop_stages
from iisan_core.errors import RefusedError
from iisan_core.runs.job_folder import CARD, STATUS, STOP_FILE, JobCard, JobFolder
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.status import is_alive
from iisan_core.runs.workspace import Workspace

DEEP = "[" * 100_000 + "]" * 100_000
ALIVE = {"state": "running", "pid": os.getpid(), "pid_started": 0.0, "heartbeat": 1.0}


def hostile_statuses() -> list[str]:
    pids = (-1, 0, 2**31, 2**63, 10**400, 1.5, True, "1", None)
    moments = ("NaN", "Infinity", "-1", "1e300", DEEP)
    return [
        *(json.dumps(ALIVE | {"pid": pid}) for pid in pids),
        *(json.dumps(ALIVE).replace("1.0", moment) for moment in moments),
        *(json.dumps(ALIVE | {name: -5}) for name in ("epoch", "epochs", "memory_bytes", "since")),
        DEEP, "", "null", "[]", '{"a":' * 100_000, "\ud800".encode("utf-16", "surrogatepass").decode("latin-1"),
    ]  # fmt: skip


STATUSES = hostile_statuses()


@pytest.mark.parametrize("said", STATUSES, ids=[f"status {n}" for n in range(len(STATUSES))])
def test_no_status_hides_the_other_jobs(workspace: Workspace, job: Callable[[str], JobFolder], said: str) -> None:
    job("whole").write_status("finished")
    (job("hostile").path / STATUS).write_text(said, encoding="utf-8", errors="surrogatepass")
    listed = {each.folder.name: each for each in jobs_in(workspace)}
    assert listed["whole"].status is not None
    hostile = listed["hostile"]
    assert hostile.problem or not hostile.active


@pytest.mark.parametrize("name", [CARD, STATUS, STOP_FILE, "results.json", "config.yaml", "metrics.jsonl"])
def test_pipes_and_folders_in_the_place_of_records_are_not_waited_for(
    workspace: Workspace, job: Callable[[str], JobFolder], name: str
) -> None:
    job("whole").write_status("finished")
    for kind, make in {"pipe": os.mkfifo, "folder": Path.mkdir, "device": lambda p: p.symlink_to("/dev/zero")}.items():
        path = job(f"a {kind}").path / name
        path.unlink(missing_ok=True)
        make(path)
    assert {each.folder.name for each in jobs_in(workspace)} == {"whole", "a pipe", "a folder", "a device"}
    for each in jobs_in(workspace):
        if not each.problem:
            assert len(stop_stages(each.folder)) <= 1


@pytest.mark.parametrize("said", [DEEP, "{", "[1]", "null", '[{"action": 1}]', '{"action": "asked"}'])
def test_a_stop_file_says_at_least_that_somebody_asked(job: Callable[[str], JobFolder], said: str) -> None:
    folder = job("one")
    (folder.path / STOP_FILE).write_text(said)
    assert [stage.action for stage in stop_stages(folder)] == ["asked"]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


def _reads(read: Callable[[], Any]) -> None:
    try:
        read()
    except RefusedError as error:
        assert str(error)


def check_status(folder: JobFolder, said: dict[str, Any]) -> None:
    (folder.path / STATUS).write_text(json.dumps(said))
    _reads(lambda: is_alive(folder.status()))


def check_card(folder: JobFolder, said: Any) -> None:
    (folder.path / CARD).write_text(json.dumps(said))
    _reads(lambda: open_folder(folder.path).card())
    _reads(folder.is_ours)


def check_run(run: RunFolder, name: str, said: Any) -> None:
    (run.path / name).write_text(json.dumps(said) + "\n")
    _reads(run.results)
    _reads(lambda: list(run.events()))
    _reads(run.config)


some_statuses = st.fixed_dictionaries(
    {name: st.sampled_from([ALIVE[name]]) | values for name in ALIVE},
    optional=dict.fromkeys(("epoch", "epochs", "steps", "since", "message", "device", "oom_kills", "x"), values),
)
names_of_cards = tuple(JobCard.model_fields)
some_cards = values | st.fixed_dictionaries(dict.fromkeys(names_of_cards[:4], values))
some_events = values | st.fixed_dictionaries(
    {"event": st.sampled_from(["epoch", "progress"]) | values},
    optional=dict.fromkeys(("epoch", "loss", "seconds", "valid", "best_epoch", "best_hr10", "at"), values),
)
some_results = values | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("quality", "efficiency", "data", "seed", "beyond", "protocol", "start"), values)
)
some_configs = values | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("dataset", "caches", "model", "training", "members", "start_from"), values)
)
RUN_RECORDS = {"metrics.jsonl": some_events, "results.json": some_results, "config.yaml": some_configs}


def _tried(made_up: st.SearchStrategy[Any], check: Callable[[Any], None], examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(made_up)
    def tried(said: Any) -> None:
        check(said)

    tried()


def fuzzed(examples: int, folder: Path) -> None:
    """So many made-up records of every kind; each is read, or refused in words."""
    card = JobCard(argv=("demo",), device=None, workspace=folder, folder=folder)
    job = JobFolder.create_job(folder / "job", card=card)
    (folder / "run").mkdir()
    run = RunFolder(folder / "run")
    _tried(some_statuses, partial(check_status, job), examples)
    _tried(some_cards, partial(check_card, job), examples)
    for name, said in RUN_RECORDS.items():
        _tried(said, partial(check_run, run, name), examples)


def test_made_up_records_are_refused_in_words(tmp_path: Path) -> None:
    fuzzed(60, tmp_path)


@pytest.mark.slow
def test_ten_thousand_made_up_records_of_every_kind_are_refused_in_words(tmp_path: Path) -> None:
    fuzzed(10_000, tmp_path)
