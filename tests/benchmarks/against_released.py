"""`python -m tests.benchmarks.against_released`: the released programs' form and ours on the same work, in one run.

Scientific-sized: 20,314 items, 12,076 users, BERT-base and ViT-base states of 13 layers of which seven are used,
r = E = 64. Prints the seconds of both forms, their ratio, and whether the slow form takes what the released programs
took, beside what this machine's matrix products and its memory reach, without which the seconds say little.

All runs in huge pages and in memory that the process keeps, unless `--fresh-memory`. At batch 512 the released
programs' backward asks for 115 MB of fresh memory 512 times; in pages of 4 KiB that is 14.4 million page faults, whose
price differs several-fold by machine and would be taken for the programs'. Kept memory favours the slow form.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch

from app.bench.measure import machine, matrix_rate
from app.bench.random_work import Size
from tests.benchmarks.forms import BY_DEFAULT, COMPILED, compare_ranking, compare_steps
from tests.benchmarks.released_figures import MATRIX_RATES

CPU = torch.device("cpu")
KEPT_MEMORY = {
    "THP_MEM_ALLOC_ENABLE": "1",  # huge pages; torch reads it once, at its first tensor
    "MALLOC_MMAP_MAX_": "0",  # no tensor is memory of its own, given back with it
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
}
"""Environment of the measured process; what begins with MALLOC is glibc's."""
NEW_BYTES = 115 * 10**6
ROW = "{:24} {:>10} {:>12} {:>16} {:>7} {:>9} {:>9} {:>17} {:>26} {:>22}"
FORMS = ("float32", "bfloat16", BY_DEFAULT, COMPILED)


def main(arguments: Sequence[str] | None = None) -> None:
    asked = _parser().parse_args(arguments)
    if not asked.fresh_memory and not _memory_is_kept():
        same = sys.argv[1:] if arguments is None else arguments
        command = [sys.executable, "-m", "tests.benchmarks.against_released", *same]
        os.execve(sys.executable, command, os.environ | KEPT_MEMORY)
    size = Size(users=asked.users, items=asked.items)
    found = measure(size, batch_sizes=asked.batch_size, repeats=asked.repeats, compiled=not asked.eager)
    sys.stdout.write((json.dumps(found, indent=2) if asked.json else as_text(found)) + "\n")


def measure(size: Size, *, batch_sizes: Sequence[int], repeats: int, compiled: bool = True) -> dict[str, Any]:
    """Every work by both forms, and the machine."""
    return {
        "matrix_operations_per_s": {p: matrix_rate(CPU, p) for p in ("float32", "bfloat16")},
        "new_memory_bytes_per_s": new_memory_rate(),
        "memory_is_kept": _memory_is_kept(),
        "works": [
            *(compare_steps(size, batch_size=b, repeats=repeats, compiled=compiled) for b in batch_sizes),
            compare_ranking(size, repeats=repeats),
        ],
        "size": vars(size),
        **machine(CPU),
    }


def _memory_is_kept() -> bool:
    return KEPT_MEMORY.items() <= os.environ.items()


def new_memory_rate(*, repeats: int = 10) -> float:
    """Bytes per second at which new tensors, as large as the released programs' logits at batch 512, are filled."""
    start = time.perf_counter()
    for _ in range(repeats):
        torch.empty(NEW_BYTES, dtype=torch.uint8).fill_(1)
    return repeats * NEW_BYTES / (time.perf_counter() - start)


def as_text(found: dict[str, Any]) -> str:
    """A table, and a line about the machine."""
    rates, (low, high) = found["matrix_operations_per_s"], MATRIX_RATES
    head = ROW.format("work", "slow form", "released", "± 25 %", "", *FORMS, "ratios")
    return "\n".join(
        [
            head,
            *(_row(work) for work in found["works"]),
            f"matrix products {rates['float32'] / 1e9:.0f} GFLOP/s in float32 (the released programs' figures: "
            f"{low / 1e9:.0f} to {high / 1e9:.0f}), {rates['bfloat16'] / 1e9:.0f} in bfloat16; new tensors filled "
            f"at {found['new_memory_bytes_per_s'] / 1e9:.1f} GB/s, "
            f"in memory that is {'kept' if found['memory_is_kept'] else 'fresh'}",
        ]
    )


def _row(work: dict[str, Any]) -> str:
    ours = [f"{work['ours'][p]['median_s']:.3f} s" if p in work["ours"] else "–" for p in FORMS]
    ratios = ", ".join(f"{ratio:.1f}" for ratio in work["ratio"].values())
    slow = f"{work['slow_form']['median_s']:.3f} s"
    if work["released_s"] is None:
        return ROW.format(work["work"], slow, "–", "–", "–", *ours, ratios)
    released = "–".join(f"{s:g}" for s in sorted(set(work["released_s"]))) + " s"
    bounds = "–".join(f"{s:.4g}" for s in work["bounds_s"]) + " s"
    return ROW.format(work["work"], slow, released, bounds, work["place"], *ours, ratios)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="all figures, with their spread")
    parser.add_argument("--batch-size", type=int, nargs="*", default=[64, 512])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--users", type=int, default=Size.users)
    parser.add_argument("--items", type=int, default=Size.items)
    parser.add_argument("--eager", action="store_true", help="leave the compiled form out, which takes a C++ compiler")
    parser.add_argument("--fresh-memory", action="store_true", help="leave memory as the system gives it")
    return parser


if __name__ == "__main__":
    main()
