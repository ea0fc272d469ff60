"""`iisan demo`: the whole way, from making a shop to recommending in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
from tqdm import tqdm

from app.shell.extract import cache_states
from app.shell.output import note, print_table
from app.shell.progress import shortened
from app.shell.train import train_with_bar
from app.shell.use import show_recommendations
from data_tools.demo.backbones import build_image_backbone, build_text_backbone
from data_tools.demo.world import make_demo_world
from iisan_core.cache.manifest import CacheSettings
from iisan_core.config import RunConfig
from iisan_core.dataset import Dataset
from iisan_core.metrics import summary
from iisan_core.presets import load_preset
from iisan_core.recommender import Recommender
from iisan_core.run_folder import RunFolder
from iisan_core.workspace import VARIABLE, Workspace, in_fusion_order

RUN = "demo"


def demo() -> None:
    """Make a shop, cache hidden states, train IISAN on them, measure it, recommend. A second call reuses all of it.

    Everything lies in the workspace (`workspace`, or where $IISAN_WORKSPACE says).

    Example: iisan demo
    """
    workspace = Workspace.default()
    note(f"workspace: {workspace.root} (set ${VARIABLE} to choose another)")
    dataset = demo_dataset(workspace)
    text, image = demo_backbones(workspace, dataset)
    caches = demo_caches(dataset, text, image)
    run = demo_run(workspace, dataset, caches)
    _show_metrics(run, dataset)
    recommender = Recommender.load(run.path)
    user = _user_with_long_history(dataset)
    (recommended,) = recommender.recommend(users=[user], k=10)
    show_recommendations(recommender, user, recommender.history(user), recommended)
    note(f"next: iisan recommend {shortened(run.path)} --user {user}, or iisan compare {shortened(workspace.runs)}/*")


def demo_dataset(workspace: Workspace) -> Dataset:
    """Stage 1: the shop, made once."""
    folder = workspace.datasets / "demo"
    there = (folder / "dataset.json").is_file()
    dataset = Dataset.load(folder) if there else make_demo_world(folder)
    counts = ", ".join(f"{count:,} {name}" for name, count in dataset.card.counts.items())
    note(f"1 data       {'found' if there else 'made'} {shortened(folder)}: {counts}")
    return dataset


def demo_backbones(workspace: Workspace, dataset: Dataset) -> tuple[Path, Path]:
    """Stage 2: a small text and a small image model, trained once on the shop's own titles and pictures."""
    text, image = workspace.backbones / "demo-text", workspace.backbones / "demo-image"
    titles = [title for title in dataset.texts() if title]
    pictures = [path for path in dataset.image_paths() if path]
    _build(text, "titles", lambda on_step: build_text_backbone(titles, text, on_step=on_step))
    _build(image, "pictures", lambda on_step: build_image_backbone(pictures, image, on_step=on_step))
    return text, image


def demo_caches(dataset: Dataset, text: Path, image: Path) -> dict[str, Path]:
    """Stage 3: every item once through both."""
    note("3 states     every item once through each frozen backbone")
    settings = CacheSettings(layers="even")
    caches = {
        "image": cache_states(dataset, "image", str(image), settings),
        "text": cache_states(dataset, "text", str(text), settings),
    }
    return in_fusion_order(caches)


def demo_run(workspace: Workspace, dataset: Dataset, caches: dict[str, Path]) -> RunFolder:
    """Stage 4: IISAN on the cached states."""
    path = workspace.runs / RUN
    preset = load_preset("demo")
    config = RunConfig(
        dataset=dataset.folder,
        caches=caches,
        protocol=preset.protocol,
        model=preset.model,
        training=preset.training,
    )
    if path.is_dir() and RunFolder.open(path).status().state == "finished":
        note(f"4 training   found {shortened(path)}")
    else:
        note("4 training   intra and inter side networks on the cached states")
        train_with_bar(config, path, command="iisan demo")
    return RunFolder.open(path)


def _build(folder: Path, what: str, build: Callable[[Callable[[int, int, float], None]], Path]) -> None:
    if folder.is_dir():
        note(f"2 backbone   found {shortened(folder)}")
        return
    with tqdm(desc=f"2 backbone   learning from {what}", unit="step", disable=None) as bar:

        def show(step: int, steps: int, loss: float) -> None:
            bar.total = steps
            bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
            bar.update(step - bar.n)

        build(show)
    note(f"2 backbone   made {shortened(folder)}")


def _show_metrics(run: RunFolder, dataset: Dataset) -> None:
    """Test metrics of all users and by what their taste hangs on, which only a made-up shop can know."""
    users = pl.read_parquet(dataset.folder / "truth" / "users.parquet").select("user_id", "kind")
    ranks = pl.read_parquet(run.ranks).join(users, on="user_id")
    groups = [("all users", ranks)]
    groups += [(f"taste in the {kind[0]}", group) for kind, group in sorted(ranks.group_by("kind"))]
    rows = [(name, group.height, *summary(group["test"].to_numpy()).values()) for name, group in groups]
    columns = ["", "users", *summary(ranks["test"].to_numpy())]
    print_table(columns, rows, title=f"run {run.name}: test metrics × 100, all items ranked")


def _user_with_long_history(dataset: Dataset) -> str:
    longest = dataset.interactions.group_by("user_id", maintain_order=True).len().sort("len", descending=True)
    return str(longest["user_id"][0])
