"""Jobs for clusters, with arguments that no shell and no YAML must understand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.jobs.clusters.job import GIB, ClusterJob

HOSTILE = (
    "$(touch pwned)",
    "a'b\"c",
    "x; touch pwned",
    "`touch pwned`",
    "$$HOME",
    "${HOME}",
    "- a: b\n# c",
    "*",
    "",
    "é ",
)
"""Arguments as nobody should type them, and everybody may."""


@pytest.fixture
def cluster_job(tmp_path: Path) -> Callable[..., ClusterJob]:
    """A training of one process on one GPU, with changes laid over."""

    def make(**changes: Any) -> ClusterJob:
        workspace = tmp_path / "my $(work)'space"
        (workspace / "runs").mkdir(parents=True, exist_ok=True)
        values: dict[str, Any] = {
            "name": "iisan-train-mine",
            "command": ("iisan", "train", str(workspace / "datasets" / "mine"), "--run", "runs/mine", *HOSTILE),
            "places": frozenset({workspace / "datasets" / "mine", Path("runs/mine")}),
            "folder": workspace,
            "workspace": workspace,
            "nodes": 1,
            "processes": 1,
            "starts_itself": True,
            "gpus": 1,
            "gpu_kind": "",
            "cpus": 4,
            "memory_bytes": 5 * GIB + 1,
            "seconds": 2 * 86400 + 3 * 3600 + 600,
            "said": ("planned: so much",),
        }
        return ClusterJob(**(values | changes))

    return make
