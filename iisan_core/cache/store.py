"""Read a hidden-state cache: row by row, or whole.

`item_ids.parquet` has one row per row of the array; `states.bin` is row-major `[items, ΣD]`, little-endian, no header.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from torch import Tensor

from iisan_core.cache.given import GivenStates, write_given
from iisan_core.cache.inputs import CatalogueInputs, inputs_of, sha256_of_fingerprints
from iisan_core.cache.manifest import APPEND, ITEM_IDS, STATES, VECTORS, CacheManifest, read_manifest
from iisan_core.cache.rows import NUMPY_DTYPES, as_tensor, read_item_ids, read_rows, sha256_of_rows
from iisan_core.config.schema import StoredDtype
from iisan_core.data.dataset import Dataset
from iisan_core.errors import IisanError, RefusedError
from iisan_core.files import checked, sha256_of_texts

READERS = 4
"""Shards that are held against their checksums at once."""


class HiddenStateCache:
    """A complete cache; made by `HiddenStateCache.open`. Axes: N rows, ΣD the kept layers' widths in order.

    An item may have several rows, of which the last counts: `rows` names it. Where `present` is false, the row holds
    zeros that stand for nothing: readers must put the learned vector of a missing modality there (method, section 3).

    Args:
        folder: the cache's folder.
        manifest: what it holds: `layers`, their `widths`, the stored `dtype`, and all that decided them.
        items: its table of items, one row per row of the array.

    Raises: see `open`; `rows` refuses items that are not held, `verify` damaged bytes, `check_matches` other data.

    Example:
        >>> *_, last = extract(dataset, backbone, CacheSettings(layers=(0, -1)), folder=folder)
        >>> cache = HiddenStateCache.open(last.folder)
        >>> states = cache.gather(cache.rows(dataset.items["item_id"][:2].to_list()))  # [2, ΣD], in float16
        >>> states.shape == (2, sum(cache.manifest.widths))
        True
        >>> cache.check_matches(dataset)
    """

    def __init__(self, folder: Path, manifest: CacheManifest, items: pl.DataFrame) -> None:
        self.folder = folder
        self.manifest = manifest
        self._items = items
        self._unread = dict(enumerate(manifest.shards))
        """Shards that were not held against their checksums yet."""
        self._starts = np.array([shard.start for shard in manifest.shards], dtype=np.int64)
        self.present: NDArray[np.bool_] = items["present"].to_numpy()

    @cached_property
    def item_ids(self) -> list[str]:
        """One per row."""
        return self._items["item_id"].to_list()

    @cached_property
    def fingerprints(self) -> list[str | None]:
        """One per row: SHA-256 of the text or picture; None where there was none."""
        return _read_items(self.folder, self.manifest, columns=("item_id", "fingerprint"))["fingerprint"].to_list()

    @cached_property
    def problems(self) -> dict[str, str]:
        """Item id → why its text or picture could not be read."""
        with_problem = self._newest.drop_nulls("problem")
        return dict(zip(with_problem["item_id"].to_list(), with_problem["problem"].to_list(), strict=True))

    @classmethod
    def open(cls, folder: str | Path) -> HiddenStateCache:
        """Open a cache without reading its array.

        Raises `RefusedError` if it is absent, unfinished, damaged or of another format version.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if not manifest.complete:
            raise RefusedError(f"the cache {folder} is unfinished; run the same `iisan extract` again to resume it")
        if len(manifest.widths) != len(manifest.layers):
            raise RefusedError(
                f"the cache {folder} names {len(manifest.layers)} layers and {len(manifest.widths)} widths; "
                "its manifest is damaged, remove the folder and run `iisan extract` again"
            )
        _check_size(folder, manifest)
        return cls(folder, manifest, _read_items(folder, manifest, columns=("item_id", "present", "problem")))

    @classmethod
    def from_arrays(
        cls,
        dataset: Dataset,
        arrays: NDArray[np.generic] | Sequence[NDArray[np.generic]],
        *,
        item_ids: Sequence[str],
        modality: str,
        made_by: str,
        folder: str | Path,
        dtype: StoredDtype | None = None,
    ) -> HiddenStateCache:
        """A cache of states that something else has made; it trains, serves and explains like any other.

        Args:
            dataset: whose items they are. Items without a row are recorded as missing, rows of other ids are left out.
            arrays: `[n, D]`, `[n, L, D]`, or a list of L arrays `[n, D_l]`, in float16, float32 or float64.
            item_ids: of the n rows, each once.
            modality: what a run calls these states, such as `image`.
            made_by: who or what made them, for the manifest.
            folder: where caches lie; this one gets a folder in it, and the same numbers the same one.
            dtype: number format of the stored states; unset: as given, float64 as float32.

        Raises:
            RefusedError: naming the item or array, where shapes or ids do not fit, an id stands twice, no row is of the
                dataset, a number is not finite or does not fit the number format.

        Example:
            >>> ids = dataset.items["item_id"].to_list()
            >>> vectors = np.random.default_rng(0).normal(size=(len(ids), 8)).astype(np.float32)
            >>> cache = HiddenStateCache.from_arrays(
            ...     dataset, vectors, item_ids=ids, modality="shape", made_by="a random generator", folder=folder
            ... )
            >>> cache.gather(cache.rows(ids[:2])).shape == (2, 8)
            True
        """
        states = GivenStates.of(arrays, item_ids, dtype=dtype)
        return cls.open(write_given(dataset, states, modality=modality, made_by=made_by, folder=Path(folder)))

    @property
    def superseded(self) -> int:
        """Rows that no longer count because their item has a later one."""
        return self.manifest.items - self._newest.height

    @property
    def absent(self) -> list[str]:
        """Ids of the items without a text or picture."""
        return self._newest.filter(~pl.col("present"))["item_id"].to_list()

    def rows(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        """Row numbers of items; raises `RefusedError` for an item that the cache does not hold."""
        wanted = pl.DataFrame({"item_id": item_ids}, schema={"item_id": pl.String})
        held = self._items.select("item_id").with_row_index("row").join(wanted, on="item_id", how="semi")
        last = held.unique("item_id", keep="last")
        found = wanted.join(last, on="item_id", how="left", maintain_order="left")
        absent = found.filter(pl.col("row").is_null())
        if not absent.is_empty():
            raise RefusedError(
                f"the cache {self.folder} is of another catalogue: it has no item {absent['item_id'][0]!r} "
                f"(it holds {self._newest.height:,} items of {self.manifest.dataset!r}); run `iisan extract` for this "
                "dataset"
            )
        return found["row"].cast(pl.Int64).to_numpy()

    def gather(self, rows: NDArray[np.int64] | Tensor | Sequence[int]) -> Tensor:
        """The states of `n` rows, `[n, ΣD]` in the stored dtype; only these rows are read."""
        wanted = np.asarray(rows, dtype=np.int64)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < self.manifest.items:
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} of a cache with {self.manifest.items} rows")
        self._check_shards_of(wanted)
        return as_tensor(read_rows(self.folder / STATES, wanted, manifest=self.manifest), self.manifest.dtype)

    def load(self) -> Tensor:
        """All states, `[N, ΣD]` in the stored dtype, in memory."""
        shape = (self.manifest.items, self.manifest.row_width)
        dtype = NUMPY_DTYPES[self.manifest.dtype]
        self._check_shards_of(np.arange(self.manifest.items))
        states = np.fromfile(self.folder / STATES, dtype=dtype, count=shape[0] * shape[1])
        return as_tensor(states.reshape(shape), self.manifest.dtype)

    def verify(self) -> None:
        """Read everything and compare checksums; raises `IisanError` naming the first shard that differs."""
        if sha256_of_fingerprints(self.fingerprints) != self.manifest.inputs_sha256:
            raise IisanError(
                f"the cache {self.folder} is damaged: {ITEM_IDS} has other fingerprints than the manifest was written "
                "for; remove the folder and run `iisan extract` again"
            )
        self._unread = dict(enumerate(self.manifest.shards))
        self._check_shards(list(self._unread))

    def _check_shards_of(self, rows: NDArray[np.int64]) -> None:
        """Hold the shards that these rows are of against their checksums, each once: a cache is opened without that."""
        if self._unread and len(rows):
            touched = np.unique(self._starts.searchsorted(rows, side="right") - 1).tolist()
            self._check_shards([number for number in touched if number in self._unread])

    def _check_shards(self, numbers: Sequence[int]) -> None:
        """Several at once: hashing lets other threads work. Raises `IisanError` naming the first that is damaged."""
        path, shards = self.folder / STATES, self.manifest.shards
        with ThreadPoolExecutor(READERS) as readers:
            read = partial(sha256_of_rows, path, row_bytes=self.manifest.row_bytes)
            for number, found in zip(numbers, readers.map(read, [shards[n] for n in numbers]), strict=True):
                if found != shards[number].sha256:
                    raise IisanError(
                        f"the cache {self.folder} is damaged: in {STATES}, part {number} (rows {shards[number].start} "
                        f"to {shards[number].stop - 1}) has checksum {found[:12]}, the manifest says "
                        f"{shards[number].sha256[:12]}; remove the folder and run `iisan extract` again"
                    )
                self._unread.pop(number, None)

    def check_matches(self, dataset: Dataset) -> None:
        """Raise `RefusedError` if an item of the dataset is new or has changed since the extraction.

        Compares fingerprints: of the catalogue's texts, or of its files, read where they changed since the last time.
        """
        manifest = self.manifest
        changed = self.changed_items(inputs_of(dataset, manifest.kind, text_fields=manifest.text_fields))
        if changed:
            raise RefusedError(
                f"the cache {self.folder} does not fit {dataset.folder}: {len(changed):,} items are new there or have "
                f"another {manifest.input_called} than at extraction, the first is {changed[0]!r}; run "
                f"`iisan {'data vectors' if manifest.kind == VECTORS else 'extract'}` again"
            )

    def changed_items(self, inputs: CatalogueInputs) -> list[str]:
        """Ids of items that the cache lacks or whose text or picture differs from what it was made from."""
        if (inputs.ids_sha256, inputs.inputs_sha256) == (self.manifest.ids_sha256, self.manifest.inputs_sha256):
            return []
        known = dict(zip(self.item_ids, self.fingerprints, strict=True))
        if self.manifest.kind == VECTORS:  # nothing in the catalogue says what a vector was made from
            return [item_id for item_id in inputs.item_ids if item_id not in known]
        pairs = zip(inputs.item_ids, inputs.fingerprints, strict=True)
        return [item_id for item_id, found in pairs if item_id not in known or known[item_id] != found]

    @cached_property
    def _newest(self) -> pl.DataFrame:
        """Per item the row that counts: its last one."""
        return self._items.with_row_index("row").unique("item_id", keep="last", maintain_order=True)


def _check_size(folder: Path, manifest: CacheManifest) -> None:
    path = folder / STATES
    expected = manifest.items * manifest.row_bytes
    found = path.stat().st_size if path.is_file() else 0
    if found < expected or (found > expected and not _grows(folder, manifest)):
        raise RefusedError(
            f"{path} has {found:,} bytes, its manifest says {expected:,} ({manifest.items:,} rows of "
            f"{manifest.row_bytes:,}): truncated or of another cache; remove the folder and run `iisan extract` again"
        )


def _grows(folder: Path, manifest: CacheManifest) -> bool:
    """Whether rows are being added, or have been since the manifest was read."""
    return (folder / APPEND).is_dir() or read_manifest(folder) != manifest


def _read_items(folder: Path, manifest: CacheManifest, *, columns: Sequence[str]) -> pl.DataFrame:
    path = folder / ITEM_IDS
    try:
        items = read_item_ids(folder, rows=manifest.items, columns=columns)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RefusedError(f"{path} cannot be read ({error}); run `iisan extract` again") from None
    if sha256_of_texts(items["item_id"]) != manifest.ids_sha256:
        raise RefusedError(
            f"{path} lists other items than the manifest was written for; remove the folder and run "
            "`iisan extract` again"
        )
    checked(path)
    return items
