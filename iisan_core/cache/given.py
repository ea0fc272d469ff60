"""Caches of states that came as numbers: made elsewhere, by whatever program, and brought in with their items' ids."""

from __future__ import annotations

import hashlib
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iisan_core.cache.inputs import sha256_of_fingerprints
from iisan_core.cache.manifest import ITEM_IDS, MANIFEST, STATES, CacheManifest, Shard, read_manifest, write_manifest
from iisan_core.cache.rows import ITEM_COLUMNS, TORCH_DTYPES, as_bytes
from iisan_core.config.schema import IDS, INTER, StoredDtype
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.files import new_folder, seal, sha256_of_texts

SHARD_SIZE = 1024

OWN_DTYPE: dict[str, StoredDtype] = {"float16": "float16", "float32": "float32", "float64": "float32"}
"""NumPy's number formats that are taken, and how each is stored unless something else is asked for."""


@dataclass(frozen=True)
class GivenStates:
    """Checked states of items: as many rows in every layer as there are ids."""

    layers: tuple[NDArray[np.generic], ...]
    """Each `[n, D_l]`."""
    item_ids: list[str]
    dtype: StoredDtype

    @classmethod
    def of(
        cls,
        arrays: NDArray[np.generic] | Sequence[NDArray[np.generic]],
        item_ids: Sequence[str],
        *,
        dtype: StoredDtype | None = None,
    ) -> GivenStates:
        """Check shapes, number formats and ids; raises `RefusedError` naming what is wrong."""
        layers = tuple(_layers(arrays))
        for number, layer in enumerate(layers):
            _check_layer(layer, number, rows=len(item_ids))
        ids = [str(item_id) for item_id in item_ids]
        twice = pl.Series(ids, dtype=pl.String).is_duplicated()
        if twice.any():
            place = twice.arg_max() or 0
            raise RefusedError(f"item id {ids[place]!r} stands twice among the vectors' ids; an item has one row")
        own = max((OWN_DTYPE[layer.dtype.name] for layer in layers), key=("float16", "float32").index)
        return cls(layers, ids, dtype or own)

    @property
    def widths(self) -> tuple[int, ...]:
        """D of each layer."""
        return tuple(int(layer.shape[1]) for layer in self.layers)

    def rows(self, places: Sequence[int]) -> Tensor:
        """The rows at `places`, `[len(places), ΣD]` in the stored dtype; raises `RefusedError` for odd numbers."""
        parts = [torch.from_numpy(np.ascontiguousarray(layer[list(places)])) for layer in self.layers]
        stored = torch.cat([part.to(TORCH_DTYPES[self.dtype]) for part in parts], dim=1)
        finite = stored.isfinite()
        if not finite.all():
            row, column = (~finite).nonzero()[0].tolist()
            raise RefusedError(
                f"the vector of item {self.item_ids[places[row]]!r} has at place {column} a number that is not finite "
                f"in {self.dtype} (at most {torch.finfo(stored.dtype).max:.3g}); repair it, or choose another dtype"
            )
        return stored


def write_given(dataset: Dataset, states: GivenStates, *, modality: str, made_by: str, folder: Path) -> Path:
    """Write a cache of `states` for all items of `dataset` below `folder`; returns its folder.

    The same states of the same catalogue are left as they are. Raises `RefusedError` where no row is of an item of the
    dataset, or a number is not finite.
    """
    item_ids: list[str] = dataset.items["item_id"].to_list()
    row_of = {item_id: row for row, item_id in enumerate(states.item_ids)}
    places = [row_of.get(item_id) for item_id in item_ids]
    if not any(place is not None for place in places):
        raise RefusedError(
            f"none of the {len(row_of):,} vectors is of an item of {dataset.folder} (the first is of "
            f"{states.item_ids[0]!r}, the catalogue begins with {item_ids[0]!r}); check that both use the same ids"
        )
    prints = [None if place is None else _fingerprint(states, place) for place in places]
    plan = CacheManifest(
        dataset=dataset.name,
        dataset_folder=str(dataset.folder.resolve()),
        modality=checked_name(modality),
        kind="vectors",
        backbone=made_by,
        revision=sha256_of_fingerprints(prints),
        compute_dtype="float32",
        pooling="given",
        layers=tuple(range(len(states.widths))),
        widths=states.widths,
        dtype=states.dtype,
        text_fields=None,
        max_tokens=None,
        image_size=None,
        items=len(item_ids),
        shard_size=SHARD_SIZE,
        ids_sha256=sha256_of_texts(item_ids),
        inputs_sha256=sha256_of_fingerprints(prints),
        libraries={"python": platform.python_version(), "numpy": np.__version__},
    )
    place = folder / plan.folder_name
    if not _is_there(place, plan):
        with new_folder(place) as unfinished:
            _write(unfinished, plan, states, item_ids, places, prints)
    return place


def checked_name(modality: str) -> str:
    """What a run may call states; raises `RefusedError` for a name that means something else in a model."""
    # Modalities name modules of the model.
    if modality in (INTER, IDS, "bias") or hasattr(nn.ModuleDict, modality) or not modality.isidentifier():
        raise RefusedError(f"a modality cannot be called {modality!r}: that means something else; choose another name")
    return modality


def _is_there(place: Path, plan: CacheManifest) -> bool:
    """Whether the cache is there already; one of an earlier catalogue is cleared away."""
    if not (place / MANIFEST).is_file():
        return False
    found = read_manifest(place)
    if found.complete and (found.ids_sha256, found.inputs_sha256) == (plan.ids_sha256, plan.inputs_sha256):
        return True
    shutil.rmtree(place)
    return False


def _write(
    folder: Path,
    plan: CacheManifest,
    states: GivenStates,
    item_ids: list[str],
    places: Sequence[int | None],
    fingerprints: Sequence[str | None],
) -> None:
    shards = []
    with (folder / STATES).open("wb") as stream:
        for start, rows in _blocks(states, places):
            raw = as_bytes(rows)
            stream.write(raw)
            shards.append(Shard(start=start, stop=start + len(rows), sha256=hashlib.sha256(raw).hexdigest()))
    columns = {
        "item_id": item_ids,
        "present": [place is not None for place in places],
        "problem": [None] * len(places),
        "fingerprint": list(fingerprints),
    }
    pl.DataFrame(columns, schema=ITEM_COLUMNS).write_parquet(folder / ITEM_IDS)
    done = plan.model_copy(update={"shards": tuple(shards), "complete": True})
    write_manifest(done, folder)
    seal(folder, (ITEM_IDS, MANIFEST))


def _blocks(states: GivenStates, places: Sequence[int | None]) -> Iterator[tuple[int, Tensor]]:
    """First row and rows of each shard; zeros where an item has no vector."""
    for start in range(0, len(places), SHARD_SIZE):
        wanted = places[start : start + SHARD_SIZE]
        rows = torch.zeros(len(wanted), sum(states.widths), dtype=TORCH_DTYPES[states.dtype])
        held = [row for row, place in enumerate(wanted) if place is not None]
        if held:
            rows[held] = states.rows([place for place in wanted if place is not None])
        yield start, rows


def _fingerprint(states: GivenStates, place: int) -> str:
    digest = hashlib.sha256()
    for layer in states.layers:
        digest.update(np.ascontiguousarray(layer[place]).tobytes())
    return digest.hexdigest()


def _layers(arrays: Any) -> Iterator[NDArray[np.generic]]:
    """The layers of `[n, D]`, `[n, L, D]` or a list of `[n, D_l]`."""
    if not isinstance(arrays, np.ndarray):
        yield from (np.asarray(array) for array in arrays)
    elif arrays.ndim == 3:
        yield from (arrays[:, layer] for layer in range(arrays.shape[1]))
    else:
        yield arrays


def _check_layer(layer: NDArray[np.generic], number: int, *, rows: int) -> None:
    if layer.ndim != 2 or 0 in layer.shape:
        raise RefusedError(
            f"array {number} has the shape {list(layer.shape)}; one row an item is wanted, [items, width], or "
            "[items, layers, width] for several layers"
        )
    if len(layer) != rows:
        raise RefusedError(f"array {number} has {len(layer):,} rows for {rows:,} item ids; each row needs one id")
    if layer.dtype.name not in OWN_DTYPE:
        raise RefusedError(
            f"array {number} holds {layer.dtype.name}; vectors are {', '.join(OWN_DTYPE)}, so convert it with `astype`"
        )
