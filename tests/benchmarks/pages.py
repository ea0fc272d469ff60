"""`python -m tests.benchmarks.pages --base WORKSPACE`: how long the server takes for each page of a full workspace.

Around a finished run of WORKSPACE, such as the demo world, it makes 100 datasets, one of them with 200,000 items, and
500 runs. Of every page it prints the first time and the median of the later ones, in seconds of the server's processor
and of the clock. The browser's time is not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from streamlit.testing.v1 import AppTest

from iisan_core.data.dataset import DatasetCard
from iisan_core.files import write_json
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.workspace import Workspace

APP = Path(__file__).parents[2] / "app" / "main.py"
DATASETS, RUNS, ITEMS = 100, 500, 200_000
VISITS = (
    ("home", {}),
    ("data", {"view": "All datasets"}),
    ("data", {"dataset": "large", "view": "Items"}),
    ("backbones", {"view": "Caches"}),
    ("train", {}),
    ("train", {"view": "Study or search"}),
    ("runs", {}),
    ("runs", {"run": "copy-001"}),
    ("compare", {}),
    ("recommendations", {}),
)
LIGHT = ("config.yaml", "results.json", "status.json", "metrics.jsonl", "train.log", "ranks.parquet", "command.txt")
"""What of a run is copied: all but its weights and vectors."""
ROW = "{:44} {:>14} {:>14} {:>14} {:>14}"


@dataclass(frozen=True)
class Visit:
    """A page that was drawn several times."""

    page: str
    first: float
    """Seconds of the processor, files being read for the first time."""
    later: float
    """The median of the other times."""
    first_clock: float
    later_clock: float


def fill(root: Path, base: Path) -> Workspace:
    """A workspace at `root` with all of `base`, and datasets and runs around the run in it that finished first."""
    shutil.copytree(base, root, symlinks=True)
    workspace = Workspace(root)
    for number in range(DATASETS - 1):
        _write_dataset(workspace.datasets / f"shop-{number:03}", items=50)
    _write_dataset(workspace.datasets / "large", items=ITEMS)
    run = next(RunFolder(path.parent) for path in sorted(workspace.runs.glob("*/results.json")))
    for number in range(RUNS - 1):
        copy = workspace.runs / f"copy-{number:03}"
        copy.mkdir()
        for name in LIGHT:
            shutil.copy2(run.path / name, copy / name)
    return workspace


def _write_dataset(folder: Path, *, items: int) -> None:
    folder.mkdir(parents=True)
    ids = [f"i{n}" for n in range(items)]
    titles = [f"item number {n}" for n in range(items)]
    schema = {"item_id": pl.String, "title": pl.String, "image": pl.String}
    pl.DataFrame({"item_id": ids, "title": titles, "image": [None] * items}, schema=schema).write_parquet(
        folder / "items.parquet"
    )
    users = max(items // 4, 10)
    log = [(f"u{user}", ids[(user * 7 + n) % items], n) for user in range(users) for n in range(6)]
    pl.DataFrame(log, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(
        folder / "interactions.parquet"
    )
    card = DatasetCard(name=folder.name, source="a benchmark", counts={"items": items, "users": users})
    write_json(folder / "dataset.json", card.model_dump())


def measured(workspace: Workspace, *, times: int = 4) -> Iterator[Visit]:
    """Every page's visits, the first one in a process that has imported everything already."""
    os.environ["IISAN_WORKSPACE"] = str(workspace.root)
    _visit("home", {})
    for page, query in VISITS:
        seconds = [_visit(page, query) for _ in range(1 + times)]
        cpu, clock = zip(*seconds, strict=True)
        yield Visit(
            page=" ".join([page, *query.values()]),
            first=cpu[0],
            later=statistics.median(cpu[1:]),
            first_clock=clock[0],
            later_clock=statistics.median(clock[1:]),
        )


def _visit(page: str, query: dict[str, str]) -> tuple[float, float]:
    test = AppTest.from_file(str(APP), default_timeout=300)
    test.switch_page(f"pages/{page}.py")
    for key, value in query.items():
        test.query_params[key] = value
    cpu, clock = time.process_time(), time.perf_counter()
    test.run()
    took = time.process_time() - cpu, time.perf_counter() - clock
    assert not test.exception and not test.error, (page, [error.value for error in test.error])
    return took


def table(visits: list[Visit]) -> str:
    """The visits as lines of text."""
    lines = [ROW.format("page", "first, cpu s", "later, cpu s", "first, s", "later, s")]
    lines += [
        ROW.format(v.page, *(f"{s:.2f}" for s in (v.first, v.later, v.first_clock, v.later_clock))) for v in visits
    ]
    return "\n".join(lines)


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True, help="a workspace with a finished run")
    parser.add_argument("--json", action="store_true", help="print facts as JSON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        visits = list(measured(fill(Path(folder) / "workspace", asked.base)))
    sys.stdout.write(json.dumps([vars(v) for v in visits], indent=2) if asked.json else table(visits) + "\n")


if __name__ == "__main__":
    main()
