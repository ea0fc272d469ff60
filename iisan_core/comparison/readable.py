"""Which of some folders are finished runs; one broken run never hides the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from iisan_core.comparison.rows import METRICS_SHOWN, run_row
from iisan_core.errors import IisanError
from iisan_core.evaluation.rank_table import read_rank_table
from iisan_core.run_folder import RunFolder


@dataclass(frozen=True)
class ReadableRuns:
    """Runs that can be compared, and why others cannot."""

    runs: list[RunFolder]
    left_out: dict[str, str]
    """Path → what is wrong there, as a sentence."""


def readable_runs(paths: Sequence[str | Path]) -> ReadableRuns:
    """Sort out the finished runs among `paths`: those whose configuration, results and ranks can be read."""
    runs: list[RunFolder] = []
    left_out: dict[str, str] = {}
    for path in dict.fromkeys(map(Path, paths)):
        try:
            run = RunFolder.open(path)
            run_row(run, metrics=METRICS_SHOWN, intervals=False)
            read_rank_table(run.ranks)
        except IisanError as fault:
            left_out[str(path)] = str(fault)
        else:
            runs.append(run)
    return ReadableRuns(runs, left_out)
