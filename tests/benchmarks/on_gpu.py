"""`python -m tests.benchmarks.on_gpu --minutes 8 --out FILE`: all that a CUDA card is to be asked, within its time.

The tests marked `gpu`, then steps, epochs, ranking, serving, extraction, gathering and methods at the sizes of
`BENCHMARKS.md`, one after the other, each in a process of its own, the most telling first; two processes that train on
the one card last. What the time does not suffice for is named. One JSON file; the table for `BENCHMARKS.md` on stdout.
`--dry-run` asks the CPU of sizes that take seconds, to see that every question is still understood.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

IISAN = ("-m", "app")
BENCHMARK = "tests.benchmarks."
SMALL = ("--items", "300", "--users", "200")


@dataclass(frozen=True)
class Question:
    """One benchmark: what it is called in the table, and how it is asked."""

    name: str
    command: tuple[str, ...]
    small: tuple[str, ...] = SMALL
    """What makes it quick enough for a dry run."""
    figure: str = "median_s"
    """The figure of its JSON that the table shows."""


def bench(name: str, verb: str, *options: str, small: tuple[str, ...] = SMALL, figure: str = "median_s") -> Question:
    return Question(name, (*IISAN, "bench", verb, *options), small, figure)


def epoch(name: str, *options: str) -> Question:
    return Question(name, ("-m", BENCHMARK + "epoch", *options), SMALL)


BFLOAT16 = ("--precision", "bfloat16")
LARGE = ("--batch-size", "512")
FEW = ("--items", "8", "--batch-size", "4")
FEW_ROWS = ("--gigabytes", "0.01", "--rows", "1000")
FEWEST = ("--method", "cached", "--batch-size", "2", "--items", "60", "--users", "40", "--steps", "1", "--warmup", "0")

QUESTIONS = (
    bench("step, batch 64, float32", "step"),
    bench("step, batch 64, bfloat16", "step", *BFLOAT16),
    bench("step, batch 512, float32", "step", *LARGE),
    bench("step, batch 512, bfloat16", "step", *LARGE, *BFLOAT16),
    epoch("epoch, batch 64, bfloat16", *BFLOAT16),
    epoch("epoch, batch 512, bfloat16", *LARGE, *BFLOAT16),
    bench("ranking all users", "rank"),
    bench("step, batch 64, bfloat16, compiled", "step", *BFLOAT16, "--compile", "true"),
    bench("step, batch 512, bfloat16, compiled", "step", *LARGE, *BFLOAT16, "--compile", "true"),
    epoch("epoch, batch 64, bfloat16, compiled", *BFLOAT16, "--compile"),
    bench("extraction, text", "extract", "--modality", "text", small=FEW, figure="items_per_s"),
    bench("extraction, pictures", "extract", "--modality", "image", small=FEW, figure="items_per_s"),
    bench("recommending, CPU", "recommend", figure="one_user.p95_ms"),
    Question("gathering", ("-m", BENCHMARK + "gather"), FEW_ROWS, "in_memory.median_s"),
    bench("methods, batch 32", "methods", "--batch-size", "32", "--json", small=FEWEST, figure="methods"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="the time there is")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file")
    parser.add_argument("--dry-run", action="store_true", help="small work on the CPU")
    parser.add_argument("--only", nargs="*", help="questions whose name holds one of these")
    asked = parser.parse_args(arguments)
    if not asked.dry_run and not torch.cuda.is_available():
        parser.error("torch sees no CUDA GPU here; --dry-run asks the CPU")
    chosen = [q for q in QUESTIONS if not asked.only or any(part in q.name for part in asked.only)]
    answers = []
    for answer in ask(chosen, seconds=60 * asked.minutes, dry=asked.dry_run):
        answers.append(answer)
        asked.out.write_text(json.dumps({"machine": machine(), "answers": answers}, indent=2), encoding="utf-8")
    sys.stdout.write(table(answers))


def ask(questions: Sequence[Question], *, seconds: float, dry: bool) -> Iterator[dict[str, Any]]:
    """What each question gave: its JSON under `found`, or why there is none under `left_out`."""
    until = time.monotonic() + seconds
    if not dry:
        yield tested(until)
    for question in questions:
        yield answered(question, until, dry=dry)
    if not dry:
        yield answered(TOGETHER, until, dry=dry)


def tested(until: float) -> dict[str, Any]:
    """The tests that want a GPU."""
    command = ("-m", "pytest", "-q", "-m", "gpu", "--no-header", "-p", "no:cacheprovider", "tests")
    ended = run(command, until)
    said = ended.stdout.strip().splitlines()[-1:] if ended else ["no time was left"]
    return {"name": "tests marked gpu", "found": {"passed": bool(ended) and ended.returncode == 0, "said": said[0]}}


TOGETHER = Question(
    "two processes on one card, batch 512",
    ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", BENCHMARK + "together", *BFLOAT16),
)


def answered(question: Question, until: float, *, dry: bool) -> dict[str, Any]:
    command = (*question.command, *(question.small if dry else ()))
    started = time.monotonic()
    ended = run(command, until)
    facts = {"name": question.name, "command": " ".join(command), "seconds": time.monotonic() - started}
    if ended is None:
        return facts | {"left_out": "no time was left"}
    if ended.returncode:
        return facts | {"left_out": f"exit {ended.returncode}: {ended.stderr.strip()[-400:]}"}
    return facts | {"figure": question.figure, "found": json.loads(ended.stdout[ended.stdout.index("{") :])}


def run(command: Sequence[str], until: float) -> subprocess.CompletedProcess[str] | None:
    """The command in a process of its own; None where the time is over before it ends."""
    left = until - time.monotonic()
    if left <= 0:
        return None
    try:
        return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=left)
    except subprocess.TimeoutExpired:
        return None


def machine() -> dict[str, Any]:
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return {"gpu": card, "torch": torch.__version__, "python": platform.python_version(), "at": time.strftime("%F")}


def table(answers: Sequence[dict[str, Any]]) -> str:
    """Markdown: what was asked, its figure, the most memory it had allocated and reserved."""
    lines = [f"**{machine()['gpu']}**, torch {torch.__version__}, {machine()['at']}\n", *HEADER]
    for answer in answers:
        if "left_out" in answer:
            lines.append(f"| {answer['name']} | – ({answer['left_out'].splitlines()[0]}) | | |")
            continue
        found = answer["found"]
        memory = [found.get(key) for key in ("peak_memory_bytes", "reserved_memory_bytes")]
        shown = [f"{value / 2**20:,.0f} MiB" if value else "" for value in memory]
        lines.append(f"| {answer['name']} | {figure(found, answer.get('figure', ''))} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


HEADER = ("| work | figure | allocated | reserved |", "| --- | --- | --- | --- |")


def figure(found: dict[str, Any], key: str) -> str:
    """The figure `key`, one under another named as `in_memory.median_s`, in words."""
    *groups, name = key.split(".")
    for group in groups:
        found = found[group]
    value = found.get(name)
    if not isinstance(value, float):
        return str(found.get("said", "see the file"))
    if not name.endswith("_s") or name == "items_per_s":
        return f"{value:,.1f} {name}"
    reached = found.get("fraction_reached")
    return f"{1000 * value:,.1f} ms" + (f", {reached:.2f} of the floor" if reached else "")


if __name__ == "__main__":
    main()
