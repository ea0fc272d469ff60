"""Run folders with made-up figures: what a comparison needs, without any training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from iisan_core.cache.manifest import read_manifest
from iisan_core.config.schema import RunConfig
from iisan_core.evaluation.metrics import summary
from iisan_core.files import write_json
from iisan_core.runs.run_folder import RunFolder

MakeRun = Callable[..., RunFolder]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """`make_run("a", [1, 20, 3], seed=1, bottleneck=8, seconds=2.0)`: a finished run with these test ranks."""

    def make(
        name: str,
        ranks: Sequence[int],
        *,
        seed: int = 0,
        bottleneck: int = 64,
        batch_size: int = 64,
        dataset: str = "shop",
        efficiency: dict[str, Any] | None = None,
        items: int = 100,
        targets: Sequence[str] | None = None,
    ) -> RunFolder:
        config = RunConfig.model_validate(
            {
                "dataset": f"/data/{dataset}",
                "caches": {"text": "/data/cache"},
                "model": {"bottleneck": bottleneck},
                "training": {"seed": seed, "batch_size": batch_size},
            }
        )
        run = RunFolder.create(tmp_path / "runs" / name, config=config, command="")
        users = [f"u{n}" for n in range(len(ranks))]
        table = pl.DataFrame({"user_id": users, "valid": ranks, "test": ranks})
        table.with_columns(test_target=pl.Series(targets or users)).write_parquet(run.ranks)
        costs = {"seconds_per_epoch": 1.0, "trainable_parameters": 10, "peak_memory_bytes": 100, "best_epoch": 3}
        quality = summary(table["test"].to_numpy())
        run.write_results(
            {
                "quality": {"valid": quality, "test": quality},
                "efficiency": {**costs, "device": "cpu", **(efficiency or {})},
                "data": {"dataset": dataset, "items": items},
                "protocol": {"min_interactions": 5, "max_history": 10},
                "seed": seed,
            }
        )
        return run

    return make


@pytest.fixture
def manifest_only(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder with the manifest of a cache, changed; enough to plan a study with."""

    def make(name: str, cache: Path, **changes: object) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        manifest = read_manifest(cache).model_copy(update=changes)
        write_json(folder / "manifest.json", manifest.model_dump(mode="json"))
        return folder

    return make
