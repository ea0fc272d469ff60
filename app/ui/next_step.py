"""What comes next with a dataset, computed in this one place for every page: import, extract, train, recommend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.jobs.listing import Listed, glance
from app.ui.readers import DatasetFacts, RunFacts, best_first
from iisan_core.cache.manifest import CacheFacts
from iisan_core.errors import IisanError
from iisan_core.runs.workspace import Workspace

RESUMABLE = ("stopped", "interrupted", "failed")
DEMO = "demo"
"""The verb that makes the demo world, and the name of its dataset."""
IMPORT = "Import …"
"""The Data page's view that imports."""


@dataclass(frozen=True)
class Step:
    """The one thing to do next."""

    said: str
    """Why, in a sentence of Markdown without anything that somebody wrote."""
    label: str
    """What the button says."""
    page: str
    query: dict[str, str] = field(default_factory=dict)
    """What stands in that page's address."""


@dataclass(frozen=True)
class World:
    """What lies in a workspace, as far as it decides what comes next."""

    caches: dict[Path, list[CacheFacts]]
    """Dataset folder → its caches, whole or not."""
    runs: dict[Path, list[RunFacts]]
    at_work: dict[Path, str]
    """Dataset folder → the verb of a job that is at work on it."""

    def caches_of(self, folder: Path) -> list[CacheFacts]:
        """The caches of a dataset."""
        return self.caches.get(folder.absolute(), [])

    def runs_of(self, folder: Path) -> list[RunFacts]:
        """The runs that were trained on a dataset, newest first, without those out of the way."""
        return self.runs.get(folder.absolute(), [])


def world_of(workspace: Workspace, *, caches: Sequence[CacheFacts], runs: Sequence[RunFacts]) -> World:
    """The same, from what the pages have read already."""
    by_cache: dict[Path, list[CacheFacts]] = {}
    for cache in caches:
        named = cache.manifest.dataset_folder if cache.manifest else None
        place = Path(named) if named else workspace.datasets / cache.folder.parent.name
        by_cache.setdefault(place.absolute(), []).append(cache)
    by_run: dict[Path, list[RunFacts]] = {}
    for run in runs:
        if run.config and not run.labels.archived:
            by_run.setdefault(run.config.dataset.absolute(), []).append(run)
    return World(by_cache, by_run, _at_work(glance(workspace), made_by_demo=workspace.datasets / DEMO))


def _at_work(jobs: Sequence[Listed], *, made_by_demo: Path) -> dict[Path, str]:
    found: dict[Path, str] = {}
    for job in jobs:
        if job.active and not job.is_run:
            try:
                card = job.folder.card()
            except (IisanError, OSError):
                continue
            if card.argv[0] == DEMO:
                found[made_by_demo.absolute()] = DEMO
            for argument in card.argv[1:]:
                found[(card.folder / argument).absolute()] = card.argv[0]
    return found


def first_step() -> Step:
    """Where there is no dataset."""
    return Step("No dataset yet: import your own, or make the demo world.", "Import data", "data", {"view": IMPORT})


def step_of(facts: DatasetFacts, world: World) -> Step:
    """What comes next with a dataset."""
    here = {"dataset": facts.name}
    if facts.card is None:
        return Step("It cannot be read.", "See what is wrong", "data", here)
    trained = world.runs_of(facts.folder)
    active = [run for run in trained if run.active]
    fit = best_first([run for run in trained if run.usable])
    broken_off = [run for run in trained if run.state in RESUMABLE]
    verb = world.at_work.get(facts.folder.absolute())
    if verb == DEMO:
        return Step("The demo world is being made.", "Watch it", "home")
    if active:
        return Step("A run is at work.", "Watch it", "runs", {"run": active[0].name})
    if fit:
        return Step("Its best run can recommend.", "See what it recommends", "recommendations", {"run": fit[0].name})
    if broken_off:
        return Step(f"A run {_how(broken_off[0])}.", "Go on with it", "runs", {"run": broken_off[0].name})
    if verb == "extract":
        return Step("Its items go through the backbones.", "Watch it", "backbones", here)
    if any(cache.state == "complete" for cache in world.caches_of(facts.folder)):
        return Step("Its hidden states are cached.", "Train on them", "train", here)
    return Step("It has no hidden states yet.", "Pick backbones", "backbones", here)


def _how(run: RunFacts) -> str:
    return {"failed": "failed", "stopped": "was stopped", "interrupted": "broke off"}[run.state]


def further_steps(facts: DatasetFacts, world: World) -> list[Step]:
    """What else can be done where the next step is to look at what a run recommends."""
    found = [Step("", "Train another run", "train", {"dataset": facts.name})]
    if sum(run.usable for run in world.runs_of(facts.folder)) > 1:
        found.append(Step("", "Compare its runs", "compare"))
    return found
