"""`python -m tests.benchmarks.gather`: random rows of a large cache, seconds and resident memory of a fresh process.

Linux only; no such cache is written. Prints JSON.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import torch

from app.bench.measure import floor, machine, timed
from app.bench.random_work import Size, random_bank
from iisan_core.cache.manifest import ITEM_IDS, MANIFEST, STATES, CacheManifest
from iisan_core.cache.rows import ITEM_COLUMNS
from iisan_core.cache.store import HiddenStateCache
from iisan_core.files import sha256_of_texts, write_json
from iisan_core.training.device import peak_memory, resident_memory
from tests.benchmarks.epoch import print_figures

LAYERS, WIDTH = 14, 768


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=10, help="size of the cache, 10⁹ bytes each")
    parser.add_argument("--rows", type=int, default=4096, help="how many random rows")
    asked = parser.parse_args(arguments)
    print_figures(bench_gather(gigabytes=asked.gigabytes, rows=asked.rows))


def bench_gather(*, gigabytes: float = 10.0, rows: int = 4096) -> dict[str, Any]:
    """Open a cache of so many GB (10⁹ bytes) and gather random rows of seven layers of two backbones of width 768.

    The cache is a hole in the disk: it takes the disk a few dozen megabytes for its item ids. Linux only.
    """
    with TemporaryDirectory() as folder:
        manifest = write_hollow_cache(Path(folder), nbytes=int(gigabytes * 1e9))
        measured = in_fresh_process(partial(_measure, Path(folder), rows))
    return {
        "bench": "gather", **measured, "in_memory": in_memory(rows),
        "rows": rows, "row_bytes": manifest.row_bytes, "items": manifest.items,
        **machine(torch.device("cpu")),
    }  # fmt: skip


def in_memory(rows: int) -> dict[str, Any]:
    """The same number of random rows from states in RAM, as a training step gathers them; each is read and written."""
    bank, cpu = random_bank(Size()), torch.device("cpu")
    items = torch.randint(1, Size.items + 1, (rows,), generator=torch.Generator().manual_seed(0))
    nbytes = 2 * rows * bank.nbytes // Size.items
    figures = timed(lambda: bank.gather(items), device=cpu, repeats=10, warmup=2)
    return figures | floor(figures["median_s"], operations=0, nbytes=nbytes, device=cpu)


def write_hollow_cache(folder: Path, *, nbytes: int) -> CacheManifest:
    """A complete cache of `nbytes` zeros, of which nothing stands on the disk; ids and fingerprints as long as real."""
    items = -(-nbytes // (LAYERS * WIDTH * 2))
    ids = [f"B{item:09}" for item in range(items)]
    fingerprints = [f"{item:064x}" for item in range(items)]
    manifest = CacheManifest(
        dataset="hollow", modality="text", backbone="none", revision="none", compute_dtype="float32", pooling="mean",
        layers=tuple(range(LAYERS)), widths=(WIDTH,) * LAYERS, dtype="float16", text_fields=("title",), max_tokens=30,
        image_size=None, items=items, shard_size=1024, ids_sha256=sha256_of_texts(ids),
        inputs_sha256=sha256_of_texts(fingerprints), libraries={}, complete=True,
    )  # fmt: skip
    columns = {"item_id": ids, "present": [True] * items, "problem": [None] * items, "fingerprint": fingerprints}
    pl.DataFrame(columns, schema=ITEM_COLUMNS).write_parquet(folder / ITEM_IDS)
    with (folder / STATES).open("wb") as stream:
        stream.truncate(items * manifest.row_bytes)
    write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
    return manifest


def in_fresh_process(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `call` returns in a process that has done nothing before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(call).result()


def _measure(folder: Path, rows: int) -> dict[str, Any]:
    """Seconds, and bytes beyond what the imports took: with the states of all rows in hand, by item id at last."""
    before, start = resident_memory(), time.perf_counter()
    cache = HiddenStateCache.open(folder)
    opened = time.perf_counter()
    chosen = np.random.default_rng(0).integers(0, cache.manifest.items, rows)
    ids = [f"B{item:09}" for item in chosen.tolist()]
    known, found = cache.rows(ids), time.perf_counter()
    states = cache.gather(known)
    return {
        "open_s": opened - start,
        "find_s": found - opened,
        "gather_s": time.perf_counter() - found,
        "resident_bytes": peak_memory(torch.device("cpu")) - before,
        "state_bytes": states.nbytes,
    }


if __name__ == "__main__":
    main()
