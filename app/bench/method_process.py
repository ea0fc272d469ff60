"""`python -m iisan_core.bench.method_process TASK RESULT`: one method, measured in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from app.bench.methods import MethodTask, measure
from iisan_core.config.schema import validated
from iisan_core.errors import RefusedError
from iisan_core.files import read_json, write_json


def main(task_path: Path, result_path: Path) -> None:
    """Read the task, leave its figures, or why it was refused."""
    task = validated(MethodTask, read_json(task_path, what="task of a benchmark"), where=str(task_path))
    try:
        result = {"figures": measure(task)}
    except RefusedError as error:
        result = {"refused": str(error)}  # type: ignore[dict-item]
    write_json(result_path, result)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
