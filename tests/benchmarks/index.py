"""`python -m tests.benchmarks.index`: a million vectors behind an index: what is found of the best ten, and how soon.

Vectors are drawn at random, which is the hardest: no two are alike, as trained ones are (`--clusters`). A query is a
user of ten items, answered with re-ranking and without the user's items, as `recommend` does. JSON.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import torch

from app.bench.measure import machine
from iisan_core.serving.index import WANTED_RECALL, Choice, Indexed, VectorIndex
from iisan_core.serving.retrieval import Candidates
from tests.benchmarks.epoch import print_figures

SEEN = 10
NOISE = 0.5
"""Of a vector around the middle of its cluster, whose own deviation is 1."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--kind", choices=get_args(Choice), default="auto")
    parser.add_argument("--clusters", type=int, default=0, help="vectors in so many clusters; 0: none alike")
    parser.add_argument("--recall", type=float, default=WANTED_RECALL)
    parser.add_argument("--queries", type=int, default=500)
    print_figures(bench_index(**vars(parser.parse_args(arguments))))


def bench_index(
    *,
    items: int,
    width: int,
    kind: Choice = "auto",
    clusters: int = 0,
    recall: float = WANTED_RECALL,
    queries: int = 500,
) -> dict[str, Any]:
    """Seconds of building, milliseconds of an answer, and recall@10 on other queries than those it was measured on."""
    rng = np.random.default_rng(0)
    middles = rng.standard_normal((max(1, clusters), width), dtype=np.float32)

    def drawn(count: int) -> Any:
        if not clusters:
            return rng.standard_normal((count, width), dtype=np.float32)
        noise = rng.standard_normal((count, width), dtype=np.float32)
        return middles[rng.integers(0, clusters, count)] + np.float32(NOISE) * noise

    vectors, measured_on, asked = drawn(items), drawn(256), torch.from_numpy(drawn(queries))
    start, used = time.perf_counter(), time.process_time()
    index = VectorIndex.build(vectors, measured_on, kind=kind, recall=recall)
    build = {"build_s": time.perf_counter() - start, "build_processor_s": time.process_time() - used}
    table = torch.cat([torch.zeros(1, width), torch.from_numpy(vectors)])
    everything = Candidates.whole(table)
    indexed = Indexed(index, everything)
    seen = torch.from_numpy(rng.integers(1, items + 1, (queries, SEEN)))
    times, found = _answers(indexed, asked, seen)
    exact_times, exact = _answers(everything, asked, seen)
    shared = [len(set(a) & set(b)) / len(b) for a, b in zip(found, exact, strict=True)]
    return {
        "bench": "index",
        **index.facts.model_dump(exclude={"of_vectors", "format_version"}),
        "recall_of_answers": float(np.mean(shared)),
        **_percentiles(times, "answer"),
        **_percentiles(exact_times, "exact"),
        **build,
        "clusters": clusters,
        **machine(torch.device("cpu")),
    }


def _percentiles(times: list[tuple[float, float]], what: str) -> dict[str, float]:
    """Processor time is what a machine that does nothing else would take, with one thread."""
    middle, high = np.percentile(times, 50, axis=0), np.percentile(times, 95, axis=0)
    names = ("ms", "processor_ms")
    found = {f"{what}_p50_{n}": float(value) for n, value in zip(names, middle, strict=True)}
    return found | {f"{what}_p95_{n}": float(value) for n, value in zip(names, high, strict=True)}


def _answers(slate: Any, users: torch.Tensor, seen: torch.Tensor) -> tuple[list[tuple[float, float]], list[list[int]]]:
    """Milliseconds, of the clock and of processors, and the best ten for each user, one at a time."""
    times, found = [], []
    slate.best(users[:1], seen[:1], k=10)
    for n in range(len(users)):
        start, used = time.perf_counter(), time.process_time()
        _, numbers = slate.best(users[n : n + 1], seen[n : n + 1], k=10)
        times.append((1000 * (time.perf_counter() - start), 1000 * (time.process_time() - used)))
        found.append(numbers[0].tolist())
    return times, found


if __name__ == "__main__":
    main()
