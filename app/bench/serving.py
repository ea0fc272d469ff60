"""Random vectors ranked and served: every user's target among all items; one user at a time, and many at once."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from app.bench.measure import floor, machine, seconds_of, timed
from app.bench.random_work import Size, random_split
from iisan_core.config.schema import ModelConfig
from iisan_core.data.dataset import Dataset, DatasetCard
from iisan_core.data.split import Split
from iisan_core.evaluation.ranking import rank_targets
from iisan_core.model.recommender import RecommenderModel
from iisan_core.serving.recommender import Recommender
from iisan_core.training.device import choose_device, peak_memory, reset_peak_memory, resident_memory

BATCH = 1024
"""Users that are served at once."""


def bench_rank(
    size: Size, *, embedding: int = 64, device: str = "auto", repeats: int = 10, warmup: int = 1
) -> dict[str, Any]:
    """Median seconds of ranking `size.users` × `size.items` random vectors of width `embedding`."""
    place = choose_device(device)
    split = random_split(size)
    torch.manual_seed(0)
    items = torch.randn(size.items + 1, embedding, device=place)
    users = torch.randn(size.users, embedding, device=place)
    seen = split.seen("test")
    targets = torch.from_numpy(split.targets("test")).to(place)
    figures = timed(
        lambda: rank_targets(users, items, seen=seen, targets=targets), device=place, repeats=repeats, warmup=warmup
    )
    operations = 2 * size.users * size.items * embedding
    least = floor(figures["median_s"], operations=operations, nbytes=users.nbytes + items.nbytes, device=place)
    return {"bench": "rank", **figures, **least, "embedding": embedding, "size": vars(size), **machine(place)}


def bench_recommend(size: Size, *, k: int = 10, repeats: int = 200, warmup: int = 10) -> dict[str, Any]:
    """Milliseconds of one user's recommendations, and users per second in batches of 1,024; on the CPU.

    `peak_beyond_loaded_bytes` is how far the process's peak lay above what it held once all was loaded: first while
    single users were served, then while batches were, too. The probes of this machine's rates come after both.
    """
    place = torch.device("cpu")
    recommender = random_recommender(size)
    users = recommender.dataset.interactions["user_id"].unique(maintain_order=True).to_list()
    reset_peak_memory(place)
    before = resident_memory()
    asked = (partial(recommender.recommend, users=[user], k=k) for user in islice(cycle(users), warmup + repeats))
    singles = [1000 * seconds_of(one, place) for one in asked][warmup:]
    p50, p95 = np.percentile(singles, [50, 95]).tolist()
    of_one = max(0, peak_memory(place) - before)
    many = list(islice(cycle(users), BATCH))
    batch = timed(lambda: recommender.recommend(users=many, k=k), device=place, repeats=max(3, repeats // 20), warmup=1)
    of_all = max(0, peak_memory(place) - before)
    width, table = ModelConfig().embedding, 4 * size.items * ModelConfig().embedding
    one = floor(p50 / 1000, operations=2 * size.items * width, nbytes=table, device=place)
    all_at_once = floor(batch["median_s"], operations=2 * BATCH * size.items * width, nbytes=table, device=place)
    return {
        "bench": "recommend",
        "one_user": {"p50_ms": p50, "p95_ms": p95, "repeats": repeats, **one},
        "batch": batch | {"users": BATCH, "users_per_second": BATCH / batch["median_s"], **all_at_once},
        "peak_beyond_loaded_bytes": {"one_user": of_one, "batch": of_all},
        "k": k,
        "size": {"items": size.items, "users": size.users, "max_history": size.max_history},
        **machine(place),
    }


def random_recommender(size: Size, *, seed: int = 0) -> Recommender:
    """Random item vectors and an untrained user encoder, for a made-up log of `size`."""
    torch.manual_seed(seed)
    small = replace(size, layers=1, text_width=8, image_width=8)
    config = ModelConfig()
    table = torch.randn(size.items + 1, config.embedding)
    table[0] = 0
    split = random_split(size, seed=seed)
    return Recommender(
        model=RecommenderModel(small.shape(config)), table=table, item_ids=split.item_ids, dataset=random_dataset(split)
    )


def random_dataset(split: Split) -> Dataset:
    """The catalogue and log that a split came from, in memory only."""
    rows, numbers = split.log.flat()
    ids = pl.Series("item_id", split.item_ids)
    log = pl.DataFrame(
        {
            "user_id": split.user_ids.gather(rows),
            "item_id": ids.gather(numbers - 1),
            "timestamp": np.arange(len(rows)) - split.log.lengths.cumsum()[rows] + split.log.lengths[rows],
        }
    )
    items = pl.DataFrame({"item_id": ids}).with_columns(title=pl.lit(""), image=pl.lit(None, dtype=pl.String))
    card = DatasetCard(name="random", source="made for a benchmark", counts={})
    return Dataset(folder=Path("random"), card=card, items=items, interactions=log)
