"""What comes next with a dataset: one answer for every state of its caches, runs and jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.keeping.labels import Labels
from app.ui.next_step import World, first_step, further_steps, step_of, world_of
from app.ui.readers import DatasetFacts, RunFacts
from iisan_core.cache.manifest import CacheFacts
from iisan_core.config.schema import RunConfig
from iisan_core.data.dataset import DatasetCard
from iisan_core.runs.job_folder import JobCard, JobFolder
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.status import Status
from iisan_core.runs.workspace import Workspace

HERE = Path("/w/datasets/shop")
CONFIG = RunConfig(dataset=HERE, caches={"text": Path("/w/caches/shop/text")})
SHOP = DatasetFacts(HERE, DatasetCard(name="shop", source="a test", counts={}))


class _Cache:
    def __init__(self, state: str) -> None:
        self.state, self.manifest = state, None


def cache(state: str) -> CacheFacts:
    return _Cache(state)  # type: ignore[return-value]


def run(name: str, state: Any, *, valid: float | None = None) -> RunFacts:
    status = Status(state=state, pid=1, pid_started=0, heartbeat=0)
    results = {"quality": {"valid": {"HR@10": valid}}} if valid is not None else None
    return RunFacts(RunFolder(Path("/w/runs") / name), status, config=CONFIG, results=results)


def world(*, caches: list[Any] | None = None, runs: list[RunFacts] | None = None, at_work: str = "") -> World:
    return World({HERE: caches or []}, {HERE: runs or []}, {HERE: at_work} if at_work else {})


BOTH = [run("a", "finished", valid=1.0), run("b", "finished", valid=2.0)]


@pytest.mark.parametrize(
    ("known", "page", "query"),
    [
        (world(), "backbones", {"dataset": "shop"}),
        (world(caches=[cache("unfinished")]), "backbones", {"dataset": "shop"}),
        (world(at_work="extract"), "backbones", {"dataset": "shop"}),
        (world(at_work="demo"), "home", {}),
        (world(caches=[cache("complete")]), "train", {"dataset": "shop"}),
        (world(caches=[cache("complete")], runs=[run("a", "failed")]), "runs", {"run": "a"}),
        (world(runs=[run("a", "finished", valid=1.0), run("b", "running")]), "runs", {"run": "b"}),
        (world(runs=BOTH), "recommendations", {"run": "b"}),
        (world(runs=[run("a", "failed"), run("b", "finished", valid=2.0)]), "recommendations", {"run": "b"}),
    ],
)  # fmt: skip
def test_one_step_for_every_state(known: World, page: str, query: dict[str, str]) -> None:
    step = step_of(SHOP, known)
    assert (step.page, step.query) == (page, query)
    assert step.said.endswith(".") and step.label


def test_a_broken_dataset_is_looked_at_first_and_none_is_imported() -> None:
    assert step_of(DatasetFacts(HERE, None, "broken"), world()).page == "data"
    assert (first_step().page, first_step().query) == ("data", {"view": "Import …"})


def test_where_the_loop_closes_there_is_more_to_do() -> None:
    one = world(runs=[run("a", "finished", valid=1.0)])
    assert [step.page for step in further_steps(SHOP, one)] == ["train"]
    two = world(runs=BOTH)
    assert [step.page for step in further_steps(SHOP, two)] == ["train", "compare"]


def test_the_world_knows_what_is_at_work_and_leaves_archived_runs_out(workspace: Path) -> None:
    here = Workspace(workspace.absolute())
    folder = here.datasets / "shop"
    card = JobCard(argv=("extract", str(folder)), device="cpu", workspace=here.root, folder=Path.cwd())
    job = JobFolder.create_job(here.jobs / "one", card=card)
    job.write_status("running")
    config = CONFIG.model_copy(update={"dataset": folder})
    archived = RunFacts(RunFolder(here.runs / "a"), None, config=config, labels=Labels(archived=True))
    kept = RunFacts(RunFolder(here.runs / "b"), None, config=config)
    known = world_of(here, caches=[], runs=[archived, kept])
    assert known.at_work[folder] == "extract"
    assert [each.name for each in known.runs_of(folder)] == ["b"]
    job.write_status("finished")
    assert world_of(here, caches=[], runs=[]).at_work == {}
