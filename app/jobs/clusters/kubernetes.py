"""A manifest for `kubectl`: a Job whose pods go on where one before them was lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from app.jobs.clusters.job import LEFT, MOUNT, PORT, ClusterJob
from iisan_core.config.places import VARIABLE

SUBMIT = ("kubectl", "create", "-f", "-")

CONTAINER = "iisan"
RETRIES = 6
"""Times that a node's pod may fail by a fault of its own, or run out of time; evicted ones are not counted."""
KEPT_SECONDS = 7 * 24 * 3600
"""A job that has ended can be asked for its log so long."""
GRACE_SECONDS = 60
INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
REFUSED = 2
"""Exit code of a command that would be refused again."""


def job_file(job: ClusterJob, *, image: str, claim: str, namespace: str = "") -> str:
    """The manifest as YAML: a Job and, for several nodes, the Service by which they find each other.

    `image` has `iisan` in it; `claim` names the volume claim on which the workspace lies.
    Raises `RefusedError` for an argument outside of the workspace.
    """
    resources = [*([_service(job)] if job.nodes > 1 else []), _job(job, image=image, claim=claim)]
    for resource in resources if namespace else []:
        resource["metadata"]["namespace"] = namespace
    said = "".join(f"# {sentence}\n" for sentence in job.said)
    return said + yaml.safe_dump_all(resources, sort_keys=False, allow_unicode=True, explicit_start=True)


def _service(job: ClusterJob) -> dict[str, Any]:
    """Gives the pods names by which torchrun finds them, also before they are ready."""
    spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"job-name": job.name}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": job.name}, "spec": spec}


def _job(job: ClusterJob, *, image: str, claim: str) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": job.seconds,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "containers": [_container(job, image)],
        "volumes": [
            {"name": "workspace", "persistentVolumeClaim": {"claimName": claim}},
            {"name": "shm", "emptyDir": {"medium": "Memory"}},
        ],
    }
    if job.nodes > 1:
        pod["subdomain"] = job.name
    if job.gpu_kind:
        pod["nodeSelector"] = {"nvidia.com/gpu.product": job.gpu_kind}
    spec = {
        "completions": job.nodes,
        "parallelism": job.nodes,
        "completionMode": "Indexed",
        "backoffLimit": RETRIES * job.nodes,
        "ttlSecondsAfterFinished": KEPT_SECONDS,
        "podFailurePolicy": {"rules": _rules(job)},
        "template": {"metadata": {"labels": {"app": CONTAINER}}, "spec": pod},
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": job.name}, "spec": spec}


def _rules(job: ClusterJob) -> list[dict[str, Any]]:
    """Evicted or asked to leave: again, and no failure. Refused: it would be again."""
    rules: list[dict[str, Any]] = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        _on_exit("Ignore", LEFT),
    ]
    return rules if job.launched else [*rules, _on_exit("FailJob", REFUSED)]


def _on_exit(action: str, code: int) -> dict[str, Any]:
    return {"action": action, "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [code]}}


def _container(job: ClusterJob, image: str) -> dict[str, Any]:
    room: dict[str, Any] = {"cpu": str(job.cpus), "memory": f"{job.gibibytes}Gi"}
    if job.gpus:
        room["nvidia.com/gpu"] = str(job.gpus)
    env: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in _variables(job).items()]
    if job.nodes > 1:
        env.append({"name": "PET_NODE_RANK", "valueFrom": {"fieldRef": {"fieldPath": INDEX}}})
    return {
        "name": CONTAINER,
        "image": image,
        # Kubernetes reads $(NAME) in arguments, and $$ as a plain $
        "command": [argument.replace("$", "$$") for argument in _command(job)],
        "workingDir": str(MOUNT),
        "env": env,
        "resources": {"requests": room, "limits": dict(room)},
        "volumeMounts": [{"name": "workspace", "mountPath": str(MOUNT)}, {"name": "shm", "mountPath": "/dev/shm"}],
    }


def _variables(job: ClusterJob) -> Mapping[str, str]:
    return {VARIABLE: str(MOUNT), "OMP_NUM_THREADS": str(job.threads)}


def _command(job: ClusterJob) -> list[str]:
    if not job.launched:
        return job.mounted_command()
    if job.nodes == 1:
        return job.torchrun("--standalone")
    # which of the nodes a pod is, torchrun reads from PET_NODE_RANK
    return job.torchrun("--master-addr", f"{job.name}-0.{job.name}", "--master-port", str(PORT))
