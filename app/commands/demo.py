"""`iisan demo`: the whole way, from making a shop to recommending in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import iisan_core
from app.commands.console import note, on_turn, print_table, shortened
from app.commands.extract import cache_states
from app.commands.options import VARIABLE
from app.commands.train import resume_with_bar, train_with_bar
from app.commands.use import show_recommendations
from app.formats import duration
from app.jobs.stages import Stages
from iisan_core.config.presets import load_preset
from iisan_core.errors import IisanError
from iisan_core.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from iisan_core.config.schema import Modality

RUN = "demo"
STAGES = ("data", "backbones", "states", "training")
METRICS = ("HR@10", "NDCG@10", "MRR@10", "HR@20", "NDCG@20", "MRR@20")


def demo() -> None:
    """Make a shop, cache hidden states, train IISAN on them, measure it, recommend. A second call reuses all of it.

    Everything lies in the workspace (`workspace`, or where $IISAN_WORKSPACE says).

    Example: iisan demo
    """
    from data_tools.demo.shop import MODALITIES

    workspace, stages = iisan_core.Workspace.default(), Stages(*STAGES)
    note(f"workspace: {workspace.root} (set ${VARIABLE} to choose another)")
    note(f"four stages: {' → '.join(STAGES)}")
    with stages.at("data") as came:
        dataset = _dataset(workspace)
        came(", ".join(f"{count:,} {name}" for name, count in dataset.card.counts.items()))
    with stages.at("backbones") as came:
        backbones = {modality: _backbone(workspace, dataset, modality) for modality in MODALITIES}
        came(" and ".join(path.name for path in backbones.values()))
    with stages.at("states") as came:
        caches = _caches(dataset, backbones)
        came(f"{len(caches)} caches")
    with stages.at("training") as came:
        run = _run(workspace, dataset, caches)
        came(f"test HR@10 {run.results()['quality']['test']['HR@10']:.2f}")
    took = ", ".join(f"{name} {duration(seconds)}" for name, seconds in stages.seconds.items())
    note(f"took {duration(sum(stages.seconds.values()))}: {took}")
    _show_metrics(run, dataset)
    recommender = iisan_core.Recommender.load(run.path)
    user = _user_with_long_history(dataset)
    (recommended,) = recommender.recommend(users=[user], k=10)
    show_recommendations(recommender, user, recommender.history(user), recommended)
    note(f"next: iisan recommend {shortened(run.path)} --user {user}, or iisan compare {shortened(workspace.runs)}/*")


def _dataset(workspace: iisan_core.Workspace) -> iisan_core.Dataset:
    """Stage 1: the shop, made once."""
    from data_tools.demo.shop import demo_dataset

    there = (workspace.datasets / "demo").is_dir()
    dataset = demo_dataset(workspace)
    counts = ", ".join(f"{count:,} {name}" for name, count in dataset.card.counts.items())
    note(f"1 data       {'found' if there else 'made'} {shortened(dataset.folder)}: {counts}")
    return dataset


def _backbone(workspace: iisan_core.Workspace, dataset: iisan_core.Dataset, modality: Modality) -> Path:
    """Stage 2: a small model, trained once on the shop's own titles or pictures."""
    from tqdm import tqdm

    from app.jobs.work import report_steps
    from data_tools.demo.shop import demo_backbone

    with tqdm(desc=f"2 backbone   learning {modality}", unit="step", disable=None) as bar:

        def show(step: int, steps: int, loss: float) -> None:
            report_steps(f"learning {modality}", done=step, total=steps)
            bar.total = steps
            bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
            bar.update(step - bar.n)

        folder = demo_backbone(workspace, dataset, modality, on_step=show)
        made = bar.n > 0
    note(f"2 backbone   {'made' if made else 'found'} {shortened(folder)}")
    return folder


def _caches(dataset: iisan_core.Dataset, backbones: dict[Modality, Path]) -> dict[str, Path]:
    """Stage 3: every item once through both."""
    from data_tools.demo.shop import SETTINGS

    note("3 states     every item once through each frozen backbone")
    with on_turn("auto", who="demo"):
        return {modality: cache_states(dataset, modality, str(path), SETTINGS) for modality, path in backbones.items()}


def _run(workspace: iisan_core.Workspace, dataset: iisan_core.Dataset, caches: dict[str, Path]) -> RunFolder:
    """Stage 4: IISAN on the cached states."""
    path = workspace.runs / RUN
    if path.is_dir() and RunFolder.open(path).status().state == "finished":
        note(f"4 training   found {shortened(path)}")
    else:
        note("4 training   intra and inter side networks on the cached states")
        if path.is_dir():  # an earlier call was broken off
            resume_with_bar(RunFolder.open(path))
        else:
            config = load_preset("demo").config(dataset=dataset.folder, caches=caches)
            train_with_bar(config, path, command="iisan demo")
    run = RunFolder.open(path)
    if run.status().state == "stopped":
        raise IisanError(f"run {shortened(path)} was stopped; `iisan demo` goes on with it")
    return run


def _show_metrics(run: RunFolder, dataset: iisan_core.Dataset) -> None:
    """Test metrics of all users and by what their taste hangs on, which only a made-up shop can know."""
    from data_tools.demo.recovery import by_taste

    table = by_taste(run, dataset, metrics=METRICS)
    print_table(table.columns, table.iter_rows(), title=f"run {run.name}: test metrics × 100, all items ranked")


def _user_with_long_history(dataset: iisan_core.Dataset) -> str:
    longest = dataset.interactions.group_by("user_id", maintain_order=True).len().sort("len", descending=True)
    return str(longest["user_id"][0])
