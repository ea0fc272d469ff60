"""The task for SkyPilot, parsed field by field; what it runs, run by bash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.jobs.clusters import skypilot
from iisan_core.errors import RefusedError

from .conftest import HOSTILE

FIELDS = {"name", "num_nodes", "resources", "envs", "file_mounts", "run"}
RESOURCES = {"cpus", "memory", "image_id", "accelerators", "job_recovery"}


def read(job: Any, **options: str) -> dict[str, Any]:
    task = yaml.safe_load(skypilot.job_file(job, **({"image": "here/iisan:1", "bucket": "s3://mine/shelf"} | options)))
    assert set(task) == FIELDS
    assert set(task["resources"]) <= RESOURCES
    return task


def called(run: str, tmp_path: Path, **variables: str) -> list[str]:
    """How the first program of `run` was called, by a bash that sees the mount elsewhere."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("iisan", "torchrun"):
        program = folder / name
        program.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps([{name!r}, *sys.argv[1:]]))\n")
        program.chmod(0o755)
    assert run.startswith("cd /workspace\n")
    env = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"} | variables
    script = run.replace("cd /workspace\n", "", 1)
    return json.loads(
        subprocess.run(["bash", "-c", script], env=env, cwd=tmp_path, capture_output=True, check=True).stdout
    )


def test_one_process_on_one_machine(cluster_job, tmp_path):
    task = read(cluster_job(gpu_kind="L4"))
    assert task["resources"] == {
        "cpus": "4+",
        "memory": "6+",
        "image_id": "docker:here/iisan:1",
        "accelerators": {"L4": 1},
        "job_recovery": {"max_restarts_on_errors": 3, "recover_on_exit_codes": [138]},
    }
    assert (task["name"], task["num_nodes"]) == ("iisan-train-mine", 1)
    assert task["envs"] == {"IISAN_WORKSPACE": "/workspace", "OMP_NUM_THREADS": "4"}
    assert task["file_mounts"] == {"/workspace": {"source": "s3://mine/shelf", "mode": "MOUNT_CACHED"}}
    said = called(task["run"], tmp_path)
    assert said == ["iisan", "train", "/workspace/datasets/mine", "--run", "/workspace/runs/mine", *HOSTILE]
    assert not list(tmp_path.rglob("pwned"))


def test_several_machines_meet_at_the_first_one(cluster_job, tmp_path):
    task = read(cluster_job(nodes=2, processes=4, gpus=4, cpus=16, gpu_kind="H100"))
    assert (task["num_nodes"], task["resources"]["accelerators"]) == (2, {"H100": 4})
    said = called(task["run"], tmp_path, SKYPILOT_NODE_RANK="1", SKYPILOT_NODE_IPS="10.0.0.7\n10.0.0.8")
    assert said[: said.index("--")] == [
        "torchrun", "--node-rank", "1", "--master-addr", "10.0.0.7", "--master-port", "29500", "--nnodes", "2",
        "--nproc-per-node", "4", "--no-python",
    ]  # fmt: skip
    assert said[said.index("--") + 1 :][-len(HOSTILE) :] == list(HOSTILE)


def test_it_must_know_which_gpu_and_which_bucket(cluster_job):
    with pytest.raises(RefusedError, match="name it with --gpu-kind, such as L4, or give --gpus 0"):
        read(cluster_job())
    assert "accelerators" not in read(cluster_job(gpus=0))["resources"]
    with pytest.raises(RefusedError, match="--bucket 'mine' is no address of a bucket"):
        read(cluster_job(gpus=0), bucket="mine")
