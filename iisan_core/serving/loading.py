"""What a finished run holds to recommend from, checked against its dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from iisan_core.config.schema import ProtocolConfig
from iisan_core.data.dataset import Dataset
from iisan_core.data.split import split
from iisan_core.errors import RefusedError
from iisan_core.files import sha256_of_texts
from iisan_core.model.ensemble import Ensemble, load_ensemble
from iisan_core.model.inference import Contributions
from iisan_core.model.recommender import RecommenderModel
from iisan_core.model.saving import load_model
from iisan_core.model.together import Together
from iisan_core.runs.blending import apply_blend, read_blend, read_together
from iisan_core.runs.results import load_parts, read_item_ids, read_vectors
from iisan_core.runs.run_folder import RunFolder
from iisan_core.serving.new_items import NewItemEncoder


@dataclass(frozen=True)
class Served:
    """A run's model and vectors, and the way to what is needed more rarely."""

    model: RecommenderModel | Ensemble
    table: Tensor
    """Item vectors [N + 1, E]; row 0 is padding."""
    item_ids: list[str]
    dataset: Dataset
    parts: Callable[[], Contributions]
    """Reads the parts of the vectors."""
    new_items: NewItemEncoder | None
    """None for a run on damaged states, or a blend of runs."""
    together: Together | None
    """What is counted and added to the products, where the run blends it in."""
    protocol: ProtocolConfig
    """How its users were measured."""


def read_run(run: str | Path) -> Served:
    """Read a finished run; raises `RefusedError` if it lacks something, or its parts do not belong together."""
    folder = RunFolder.open(run)
    config = folder.config()
    if config.baseline is not None:
        raise RefusedError(
            f"run {folder.path} holds the baseline {config.baseline.kind}: it has been measured, but keeps no item "
            "vectors to recommend from; load a run with ids, texts or pictures"
        )
    dataset = Dataset.load(folder.usable_config(caches=False).dataset, needs_log=False)
    model: RecommenderModel | Ensemble = load_ensemble(folder.best) if config.members else load_model(folder.best)
    table, of_items = read_vectors(folder)
    stored = read_item_ids(folder)
    item_ids = stored or split(dataset, config.protocol).item_ids  # a run of before the ids were kept
    _check_width(folder, table, width=model.width)
    if len(table) != len(item_ids) + 1 or of_items != sha256_of_texts(item_ids):
        raise RefusedError(
            f"{folder.item_vectors} holds vectors of {len(table) - 1:,} items that are not the {len(item_ids):,} "
            + (f"in {folder.item_ids}" if stored else f"to rank in {config.dataset}: it has changed since the training")
            + "; train again"
        )
    dataset.of_items(item_ids)  # a catalogue may grow, or be sorted otherwise; what the run recommends must be in it
    blend = read_blend(folder)
    parts, new_items = partial(_no_parts, folder), None
    if isinstance(model, RecommenderModel):
        apply_blend(model, blend)
        parts = partial(load_parts, folder.item_parts, table=table, item_ids=item_ids, width=model.learned_width)
        new_items = NewItemEncoder(model=model, caches=config.caches, precision=config.training.precision)
    return Served(
        model=model,
        table=table,
        item_ids=item_ids,
        dataset=dataset,
        parts=parts,
        new_items=None if config.corruption else new_items,
        together=read_together(folder, blend, item_ids=item_ids),
        protocol=config.protocol,
    )


def _no_parts(folder: RunFolder) -> Contributions:
    members = ", ".join(str(path) for path in folder.config().members)
    raise RefusedError(f"{folder.path} is a blend of runs, each of which explains its own scores: {members}")


def _check_width(folder: RunFolder, table: Tensor, *, width: int) -> None:
    if table.shape[1:] != (width,):
        raise RefusedError(
            f"{folder.item_vectors} holds {list(table.shape)} numbers, the model in {folder.best} reads vectors "
            f"of width {width}; train again"
        )
