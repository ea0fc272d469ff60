"""`python -m tests.benchmarks.bulk`: a million users' best hundred of 20,314 items, from a run to a Parquet file.

Writes a run of random vectors and weights, as large as a trained one's, and a dataset with a made-up log; then calls
`iisan recommend RUN --all` in a process of its own, whose time and memory are measured from start to end, imports
included. `--all-parts`: with a frozen path and what is counted, as the preset `best` has them. JSON.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from scipy import sparse

from app.bench.measure import machine
from app.bench.random_work import Size, random_split
from app.bench.serving import random_dataset
from iisan_core.config.schema import BaselineConfig, ModelConfig, RunConfig
from iisan_core.data.dataset import Dataset
from iisan_core.evaluation.blend import Blend
from iisan_core.model.recommender import ModelShape, RecommenderModel
from iisan_core.model.saving import save_model
from iisan_core.model.together import Together
from iisan_core.runs.blending import save_blend
from iisan_core.runs.results import save_items, save_vectors
from iisan_core.runs.run_folder import RunFolder
from tests.benchmarks.epoch import print_figures

WIDTH = 256
"""Of a cached layer, at least as wide as the frozen path's columns of a modality."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=Size.items)
    parser.add_argument("--embedding", type=int, default=ModelConfig().embedding, help="E")
    parser.add_argument("--all-parts", action="store_true", help="with a frozen path and what is counted")
    parser.add_argument("-k", type=int, default=100)
    parser.add_argument("--ending", choices=["parquet", "csv", "jsonl"], default="parquet")
    asked = parser.parse_args(arguments)
    model = ModelConfig(embedding=asked.embedding, frozen=asked.all_parts, together=asked.all_parts, frozen_ages=8)
    size = Size(items=asked.items, users=asked.users)
    print_figures(bench_bulk(size, model, k=asked.k, ending=asked.ending))


def bench_bulk(size: Size, model: ModelConfig, *, k: int, ending: str = "parquet") -> dict[str, Any]:
    """Seconds, processor seconds and peak memory of one call, and what it wrote."""
    with TemporaryDirectory(prefix="iisan-bulk-") as place:
        run, out = random_run(Path(place), size, model), Path(place) / f"recommendations.{ending}"
        command = ["recommend", str(run), "--all", "-k", str(k), "--out", str(out)]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-c", "from app.cli import main; main()", *command], check=True)
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "bench": "bulk",
            "seconds": seconds,
            "processor_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            "users_per_second": size.users / seconds,
            "peak_memory_bytes": after.ru_maxrss * 1024,
            "file_bytes": out.stat().st_size,
            "rows": pq.read_metadata(out).num_rows if ending == "parquet" else None,
            "vector_width": RecommenderModel(_shape(size, model)).width,
            "together": model.together,
            "k": k,
            "users": size.users,
            "items": size.items,
            "threads": os.environ.get("OMP_NUM_THREADS", "all"),
            **machine(torch.device("cpu")),
        }


def random_run(place: Path, size: Size, model: ModelConfig) -> Path:
    """A finished run as serving reads it, and its dataset."""
    split = random_split(size)
    dataset = random_dataset(split)
    _write_dataset(dataset, place / "dataset")
    config = RunConfig(dataset=place / "dataset", model=ModelConfig(ids=True))
    run = RunFolder.create(place / "run", config=config, command="made for a benchmark")
    torch.manual_seed(0)
    made = RecommenderModel(_shape(size, model))
    table = torch.randn(size.items + 1, made.width)
    table[0] = 0
    save_model(made, run.best)
    save_vectors(run, table, item_ids=split.item_ids)
    save_items(run, split)
    if model.together:
        save_blend(run, Blend(together=1.0), random_together(size), item_ids=split.item_ids)
    return run.path


def random_together(size: Size) -> Together:
    """Every item with as many others as item-kNN keeps."""
    counted, rng = BaselineConfig(kind="item-knn"), np.random.default_rng(0)
    neighbours = min(counted.neighbours, size.items)
    columns = np.sort(rng.integers(1, size.items + 1, (size.items, neighbours), dtype=np.int32), axis=1).ravel()
    starts = np.concatenate([[0, 0], np.arange(1, size.items + 1) * neighbours])
    values = rng.random(len(columns), dtype=np.float32)
    matrix = sparse.csr_array((values, columns, starts), shape=(size.items + 1, size.items + 1))
    matrix.sum_duplicates()
    return Together(matrix, recency=counted.recency, newest=size.max_history)


def _shape(size: Size, model: ModelConfig) -> ModelShape:
    widths = {"image": (WIDTH,), "text": (WIDTH,)}
    return ModelShape(widths=widths, max_history=size.max_history, items=size.items, config=model)


def _write_dataset(dataset: Dataset, folder: Path) -> None:
    folder.mkdir()
    dataset.items.write_parquet(folder / "items.parquet")
    dataset.interactions.write_parquet(folder / "interactions.parquet")
    (folder / "dataset.json").write_text(dataset.card.model_dump_json())


if __name__ == "__main__":
    main()
