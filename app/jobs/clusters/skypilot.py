"""A task for `sky jobs launch`: SkyPilot finds a machine for it, and another one where that is lost."""

from __future__ import annotations

import shlex
from typing import Any

import yaml

from app.jobs.clusters.job import FILE, LEFT, MOUNT, PORT, ClusterJob
from iisan_core.config.places import VARIABLE
from iisan_core.errors import RefusedError

SUBMIT = ("sky", "jobs", "launch", "--yes", "--detach-run", FILE)

RETRIES = 3
"""Times that it is started again after a fault of its own; a machine that was taken away is no fault."""


def job_file(job: ClusterJob, *, image: str, bucket: str) -> str:
    """The task as YAML. `image` has `iisan` in it; `bucket` is the address at which the workspace lies.

    Raises `RefusedError` for GPUs of no kind, an address that is none, or an argument outside of the workspace.
    """
    if "://" not in bucket:
        raise RefusedError(f"--bucket {bucket!r} is no address of a bucket; give one such as s3://mine or gs://mine")
    resources: dict[str, Any] = {"cpus": f"{job.cpus}+", "memory": f"{job.gibibytes}+", "image_id": f"docker:{image}"}
    if job.gpus:
        if not job.gpu_kind:
            raise RefusedError(
                "SkyPilot asks which GPU it is to find; name it with --gpu-kind, such as L4, or give --gpus 0"
            )
        resources["accelerators"] = {job.gpu_kind: job.gpus}
    resources["job_recovery"] = {"max_restarts_on_errors": RETRIES, "recover_on_exit_codes": [LEFT]}
    task = {
        "name": job.name,
        "num_nodes": job.nodes,
        "resources": resources,
        "envs": {VARIABLE: str(MOUNT), "OMP_NUM_THREADS": str(job.threads)},
        "file_mounts": {str(MOUNT): {"source": bucket, "mode": "MOUNT_CACHED"}},
        "run": f"cd {MOUNT}\n{_command(job)}\n",
    }
    said = "".join(f"# {sentence}\n" for sentence in job.said)
    return said + yaml.safe_dump(task, sort_keys=False, allow_unicode=True)


def _command(job: ClusterJob) -> str:
    if not job.launched:
        return shlex.join(job.mounted_command())
    if job.nodes == 1:
        return shlex.join(job.torchrun("--standalone"))
    # of the nodes' addresses, one a line, the first one's is where all meet
    place = f'--node-rank "$SKYPILOT_NODE_RANK" --master-addr "${{SKYPILOT_NODE_IPS%%$\'\\n\'*}}" --master-port {PORT}'
    torchrun, *rest = job.torchrun()
    return f"{torchrun} {place} {shlex.join(rest)}"
