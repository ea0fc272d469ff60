"""What the first edition wrote – dataset, caches, runs, studies, jobs – is read, served and gone on with as it was.

The files and that edition's own answers lie in `fixtures/first_edition`; its README says how they were made. Only
the shell's verbs and the public names of `iisan_core` are used here, so that the test outlives any change of layout.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from app.cli import main
from iisan_core import (
    Dataset,
    HiddenStateCache,
    Recommender,
    RunFolder,
    Workspace,
    evaluate,
    leaderboard,
    resume,
    train,
)

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # transformers leaves one open

FIXTURE = Path(__file__).parent / "fixtures" / "first_edition"
EXPECTED = json.loads((FIXTURE / "expected.json").read_text(encoding="utf-8"))
PLACEHOLDER = "@WORKSPACE@"
TEXTS = (".json", ".yaml", ".txt", ".log", ".jsonl")
TRAINED = ("both", "texts-and-ids", "ids")
FINISHED = (*TRAINED, "item-knn")
SETTINGS = (
    "protocol.inputs=4", "model.bottleneck=3", "model.embedding=4", "model.blocks=1", "training.batch_size=16",
    "training.learning_rate=0.01", "training.san_learning_rate=0.005", "training.device=cpu",
)  # fmt: skip
QUICK = [word for setting in SETTINGS for word in ("--set", setting)]
"""With what the runs and studies of the fixture were trained."""


@dataclass(frozen=True)
class Outcome:
    """What a call of the shell left behind."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> Any:
        """What it printed as JSON."""
        assert self.code == 0, self.err
        return json.loads(self.out)


Shell = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of the old workspace, whose paths lead to where it lies now."""
    root = tmp_path / "workspace"
    shutil.copytree(FIXTURE / "workspace", root)
    for path in root.rglob("*"):
        if path.suffix in TEXTS:
            path.write_text(path.read_text(encoding="utf-8").replace(PLACEHOLDER, str(root)), encoding="utf-8")
    monkeypatch.setenv("IISAN_WORKSPACE", str(root))
    monkeypatch.chdir(root)
    return Workspace.default()


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Call `iisan` with arguments."""

    def call(*arguments: Any) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["iisan", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def dataset(workspace: Workspace) -> Path:
    return workspace.datasets / "shop"


@pytest.fixture
def caches(workspace: Workspace) -> dict[str, Path]:
    """The complete ones, by modality."""
    return {name: workspace.root / "caches" / "shop" / folder for name, folder in EXPECTED["caches"].items()}


def assert_same(found: Any, expected: Any, *, at: str = "") -> None:
    """Equal, with numbers to four decimals."""
    if isinstance(expected, Mapping):
        assert found.keys() == expected.keys(), at
        for key, value in expected.items():
            assert_same(found[key], value, at=f"{at}.{key}")
    elif isinstance(expected, Sequence) and not isinstance(expected, str):
        assert len(found) == len(expected), at
        for number, value in enumerate(expected):
            assert_same(found[number], value, at=f"{at}[{number}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-4), at
    else:
        assert found == expected, at


def assert_trained_alike(run: RunFolder, losses: Sequence[float]) -> None:
    """The same course of training; another processor rounds otherwise, and a rank among few items jumps by much."""
    assert [event["loss"] for event in run.events()] == pytest.approx(losses, rel=0.01)


def losses_of(run: Path) -> list[float]:
    return [event["loss"] for event in RunFolder.open(run).events()]


def without(rows: Sequence[Mapping[str, Any]], *columns: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in columns} for row in rows]


def test_the_dataset_opens_and_passes_its_checks(workspace: Workspace, dataset: Path, shell: Shell) -> None:
    opened = Dataset.load(dataset)
    assert (opened.name, opened.items.height, opened.interactions.height) == ("shop", 24, EXPECTED["interactions"])
    assert opened.text_columns == ["title", "caption"]
    assert [path is not None and path.is_file() for path in opened.image_paths()] == [n % 7 != 3 for n in range(24)]
    assert shell("data", "check", dataset).code == 0
    assert_same(shell("data", "stats", dataset, "--json").facts, EXPECTED["stats"])


def test_the_caches_are_listed_and_whole(
    workspace: Workspace, dataset: Path, caches: dict[str, Path], shell: Shell
) -> None:
    listed = {Path(found["cache"]).name: found["state"] for found in shell("cache", "list", dataset, "--json").facts}
    assert listed == {path.name: "complete" for path in caches.values()} | {
        EXPECTED["broken_off"]["cache"]: "unfinished"
    }
    for modality, folder in caches.items():
        assert shell("cache", "verify", folder, "--json").facts["whole"]
        cache = HiddenStateCache.open(folder)
        cache.check_matches(Dataset.load(dataset))
        assert cache.manifest.modality == modality
        assert cache.manifest.dataset_folder == str(dataset)
    assert HiddenStateCache.open(caches["caption"]).superseded == 1, "one caption was changed and added anew"


def test_extractions_find_the_caches_again(
    workspace: Workspace, dataset: Path, caches: dict[str, Path], shell: Shell
) -> None:
    bert, vit = workspace.backbones / "tiny-bert", workspace.backbones / "tiny-vit"
    asked = {
        "text": ("--text", bert, "--layers", "all"),
        # Its `mean` was over the class token, too.
        "image": ("--image", vit, "--layers", "all", "--dtype", "float32", "--pooling", "mean-all"),
        "caption": ("--text", bert, "--text-field", "caption", "--as", "caption", "--dtype", "bfloat16"),
    }
    for modality, options in asked.items():
        outcome = shell("extract", dataset, *options, "--device", "cpu", "--json")
        assert [Path(found["cache"]).name for found in outcome.facts] == [caches[modality].name]
        assert "was there already" in outcome.err


def test_an_extraction_that_broke_off_goes_on(workspace: Workspace, dataset: Path, shell: Shell) -> None:
    place = workspace.root / "caches" / "shop" / EXPECTED["broken_off"]["cache"]
    assert (place / "parts").is_dir()
    shell("extract", dataset, "--text", workspace.backbones / "tiny-bert", "--layers", "0,1", "--device", "cpu")
    assert shell("cache", "verify", place, "--json").facts["rows"] == 24
    torch.testing.assert_close(
        HiddenStateCache.open(place).load().float(),
        torch.tensor(EXPECTED["broken_off"]["states"]),
        rtol=0,
        atol=2e-3,  # the last digit of float16
    )


@pytest.mark.parametrize("name", FINISHED)
def test_runs_have_the_figures_that_they_had(workspace: Workspace, shell: Shell, name: str) -> None:
    run = RunFolder.open(workspace.runs / name)
    assert run.status().state == "finished"
    assert run.results()["quality"] == EXPECTED[name]["quality"]
    by_group = evaluate(run, ks=(5, 10), by="popularity", groups=3, intervals=True).to_dicts()
    assert_same(without(by_group, "part"), without(EXPECTED[name]["evaluated"], "part"))
    (row,) = shell("evaluate", run.path, "--json").facts
    test = EXPECTED[name]["quality"]["test"]
    assert_same({metric: row[metric] for metric in test}, test)


@pytest.mark.parametrize("name", TRAINED)
def test_their_weights_rank_everybody_as_they_did(workspace: Workspace, shell: Shell, name: str) -> None:
    anew = shell("evaluate", workspace.runs / name, "--anew", "--json").facts
    assert_same(without(anew, "part"), without(EXPECTED[name]["anew"], "part"))


@pytest.mark.parametrize("name", TRAINED)
def test_their_answers_are_what_they_were(workspace: Workspace, shell: Shell, name: str) -> None:
    recommender, expected = Recommender.load(workspace.runs / name), EXPECTED[name]
    users, histories = ["u00", "u07", "u29"], [["i01", "i04"]]
    as_dicts = [[asdict(item) for item in one] for one in recommender.recommend(users=users, k=5)]
    assert_same(as_dicts, expected["users"])
    as_dicts = [[asdict(item) for item in one] for one in recommender.recommend(histories=histories, k=5)]
    assert_same(as_dicts, expected["histories"])
    assert_same([asdict(item) for item in recommender.similar_items("i02", k=5)], expected["similar"])
    assert_same([asdict(user) for user in recommender.suited_users("i02", k=5)], expected["suited"])
    asked = shell("recommend", workspace.runs / name, "--user", "u07", "-k", 5, "--json").facts
    assert_same(asked[0]["recommended"], expected["users"][1])


@pytest.mark.parametrize("name", TRAINED)
def test_their_reasons_are_what_they_were(workspace: Workspace, name: str) -> None:
    why, expected = Recommender.load(workspace.runs / name).explain("i08", user="u04"), EXPECTED[name]["explanation"]
    assert why.score == pytest.approx(expected["score"], abs=1e-4)
    assert sum(part.score for part in why.parts) == pytest.approx(why.score, abs=1e-4)
    assert_same([asdict(part) for part in why.parts], expected["parts"])
    assert_same([asdict(influence) for influence in why.influences], expected["influences"])


def test_new_items_come_to_an_old_run(workspace: Workspace, dataset: Path) -> None:
    new = pl.DataFrame({"item_id": ["n1", "n2"], "title": ["blue bowl", None]}, schema_overrides={"title": pl.String})
    recommender = Recommender.load(workspace.runs / "both")
    larger = recommender.add_items(new, images={"n2": dataset / "images" / "i01.png"})
    for item, similar in EXPECTED["added"].items():
        assert_same([asdict(other) for other in larger.similar_items(item, k=5)], similar)


def test_a_stopped_run_goes_on_to_the_end_that_it_would_have_had(workspace: Workspace, shell: Shell) -> None:
    run = RunFolder.open(workspace.runs / "stopped")
    assert (run.status().state, run.status().epoch) == ("stopped", 2)
    assert shell("resume", run.path, "--json").facts["quality"].keys() == {"valid", "test"}
    assert (run.status().state, run.status().epoch) == ("finished", 4)
    assert_trained_alike(run, EXPECTED["resumed"]["losses"])
    assert Recommender.load(run.path).recommend(users=["u00"], k=1)


def test_the_library_goes_on_with_it_too_and_trains_it_anew(workspace: Workspace) -> None:
    run = RunFolder.open(workspace.runs / "stopped")
    *_, ended = resume(run)
    assert ended.epochs == 4
    *_, ended = train(run.config(), workspace.runs / "anew")
    assert ended.epochs == 4
    for finished in (run, RunFolder.open(workspace.runs / "anew")):
        assert_trained_alike(finished, EXPECTED["resumed"]["losses"])


@pytest.mark.parametrize("name", FINISHED)
def test_an_old_configuration_trains_the_same_run(workspace: Workspace, shell: Shell, name: str) -> None:
    config = workspace.runs / name / "config.yaml"
    outcome = shell("train", "--config", config, "--run", workspace.runs / "anew", "--json")
    assert_trained_alike(RunFolder.open(workspace.runs / "anew"), losses_of(workspace.runs / name))
    if name == "item-knn":  # counted, so exact everywhere
        assert_same(outcome.facts["quality"], EXPECTED[name]["quality"])


def test_a_study_goes_on_and_ends_in_its_table(
    workspace: Workspace, dataset: Path, caches: dict[str, Path], shell: Shell
) -> None:
    place = workspace.root / "studies" / "ablation"
    done = [place / f"{name}-seed0" / "results.json" for name in ("intra-inter", "intra-only")]
    before = [path.read_bytes() for path in done]
    rows = _study("ablation", dataset, caches, place, shell)
    assert_rows(rows, EXPECTED["ablation"], done=("intra + inter", "intra only"))
    assert [path.read_bytes() for path in done] == before, "what was done was left alone"


def test_a_study_takes_uncached_figures_that_are_there(
    workspace: Workspace, dataset: Path, caches: dict[str, Path], shell: Shell
) -> None:
    place = workspace.root / "studies" / "asymmetric"
    (figures,) = place.iterdir()
    before = figures.read_bytes()
    assert_rows(
        _study("asymmetric", dataset, caches, place, shell), EXPECTED["asymmetric"], done=("uncached, 1 epoch",)
    )
    assert figures.read_bytes() == before


def assert_rows(
    found: Sequence[Mapping[str, Any]], expected: Sequence[Mapping[str, Any]], *, done: tuple[str, ...]
) -> None:
    """The same rows; figures of what was `done` are the same, the others were trained just now, on any machine."""
    exact = ("row", "runs", "trainable_parameters")
    for one, other in zip(found, expected, strict=True):
        assert_same(*(row if one["row"] in done else {name: row[name] for name in exact} for row in (one, other)))


def _study(name: str, dataset: Path, caches: dict[str, Path], place: Path, shell: Shell) -> list[dict[str, Any]]:
    """The rows of a study's table, without what depends on the machine."""
    both = ("--cache", caches["image"], "--cache", caches["text"])
    # By default the whole log and all parts of a score are asked for by now; these runs learned as `plain` does, from
    # each user's last items.
    paper = ("training=last", "catalogue=interacted", "masked=kept")
    as_before = [part for setting in paper for part in ("--set", f"protocol.{setting}")]
    options = (
        "--preset",
        "plain",
        *QUICK,
        *as_before,
        "--set",
        "training.epochs=2",
        "--seeds",
        1,
        "--folder",
        place,
        "--json",
    )
    rows = shell("study", name, dataset, *both, *options).facts
    assert (place / "table.md").is_file()
    return without(rows, "seconds_per_epoch", "peak_memory_bytes")


def test_the_leaderboard_shows_them_as_it_did(workspace: Workspace, shell: Shell) -> None:
    runs = [workspace.runs / name for name in FINISHED]
    of_machine = ("seconds_per_epoch", "peak_memory_bytes", "device")
    table = leaderboard([RunFolder.open(run) for run in runs], intervals=True)
    assert_same(without(table.to_dicts(), *of_machine), EXPECTED["leaderboard"])
    rows = shell("compare", *runs, "--json").facts
    best_first = sorted(FINISHED, key=lambda name: -EXPECTED[name]["quality"]["test"]["HR@10"])
    assert [row["run"] for row in rows] == best_first
    left_out = shell("compare", *runs, workspace.runs / "stopped", "--json")
    assert (len(left_out.facts), "left out" in left_out.err) == (4, True)


def test_jobs_and_runs_are_listed(workspace: Workspace, shell: Shell) -> None:
    listed = {each["job"]: (each["kind"], each["state"]) for each in shell("jobs", "--all", "--json").facts}
    runs = dict.fromkeys(FINISHED, ("run", "finished")) | {"stopped": ("run", "stopped")}
    assert listed == runs | {"20260101-120000-extract": ("job", "finished")}
    assert "nothing is at work" in shell("jobs").err


def test_an_old_job_can_be_done_again(workspace: Workspace, shell: Shell) -> None:
    outcome = shell("resume", workspace.jobs / "20260101-120000-extract")
    assert (outcome.code, "was there already" in outcome.err) == (0, True)


@pytest.mark.long
def test_other_methods_reach_what_they_reached(workspace: Workspace, shell: Shell) -> None:
    config = workspace.runs / "both" / "config.yaml"
    methods = [word for row in EXPECTED["methods"] for word in ("--method", row["method"])]
    rows = shell(
        "bench", "methods", "--config", config, "--set", "training.epochs=1", *methods, "--train", "--json"
    ).facts["methods"]
    parameters = {row["method"]: row["trainable_parameters"] for row in EXPECTED["methods"]}
    assert {row["method"]: row["trainable_parameters"] for row in rows} == parameters
    for row, was in zip(rows, EXPECTED["methods"], strict=True):  # 30 users: a rank that rounding turns is 3.3
        assert row["test_HR@10"] == pytest.approx(was["test_HR@10"], abs=10)
