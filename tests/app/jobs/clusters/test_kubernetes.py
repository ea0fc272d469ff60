"""The manifest for kubectl, parsed and held against the shape of a Job as batch/v1 has it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from app.jobs.clusters import kubernetes
from iisan_core.errors import RefusedError

from .conftest import HOSTILE


def shape(required: str = "", **properties: Any) -> dict[str, Any]:
    """An object of these fields and no others."""
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


def each(kind: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": kind, "minItems": 1}


TEXT, WHOLE = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 1}
LABEL = {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
META = shape("name", name=LABEL, namespace=LABEL)
QUANTITY = {"type": "string", "pattern": "^[0-9]+(Gi)?$"}
ROOM = {
    "type": "object",
    "propertyNames": {"enum": ["cpu", "memory", "nvidia.com/gpu"]},
    "additionalProperties": QUANTITY,
}
CONTAINER = shape(
    "name image command",
    name=LABEL,
    image=TEXT,
    command=each({"type": "string"}),
    workingDir=TEXT,
    env=each(
        shape("name", name=TEXT, value={"type": "string"}, valueFrom=shape(fieldRef=shape("fieldPath", fieldPath=TEXT)))
    ),
    resources=shape("requests limits", requests=ROOM, limits=ROOM),
    volumeMounts=each(shape("name mountPath", name=LABEL, mountPath=TEXT)),
)
VOLUME = shape(
    "name",
    name=LABEL,
    persistentVolumeClaim=shape("claimName", claimName=LABEL),
    emptyDir=shape(medium={"const": "Memory"}),
)
POD = shape(
    "restartPolicy containers",
    restartPolicy={"const": "Never"},  # podFailurePolicy allows no other
    activeDeadlineSeconds=WHOLE,
    terminationGracePeriodSeconds=WHOLE,
    subdomain=LABEL,
    nodeSelector={"type": "object", "additionalProperties": TEXT},
    containers=each(CONTAINER),
    volumes=each(VOLUME),
)
CONDITION = shape("type status", type=TEXT, status={"enum": ["True", "False", "Unknown"]})
EXIT = shape("operator values", containerName=LABEL, operator={"enum": ["In", "NotIn"]}, values=each(WHOLE))
RULE = shape(
    "action", action={"enum": ["Ignore", "FailJob", "Count"]}, onPodConditions=each(CONDITION), onExitCodes=EXIT
)
SPEC = shape(
    "template",
    completions=WHOLE,
    parallelism=WHOLE,
    completionMode={"const": "Indexed"},
    backoffLimit=WHOLE,
    ttlSecondsAfterFinished=WHOLE,
    podFailurePolicy=shape("rules", rules=each(RULE)),
    template=shape("spec", metadata=shape(labels={"type": "object", "additionalProperties": TEXT}), spec=POD),
)
JOB = shape(
    "apiVersion kind metadata spec",
    apiVersion={"const": "batch/v1"},
    kind={"const": "Job"},
    metadata=META,
    spec=SPEC,
)
SERVICE = shape(
    "apiVersion kind metadata spec",
    apiVersion={"const": "v1"},
    kind={"const": "Service"},
    metadata=META,
    spec=shape(
        "selector",
        clusterIP={"const": "None"},
        publishNotReadyAddresses={"type": "boolean"},
        selector=shape("job-name", **{"job-name": LABEL}),
    ),
)


def read(text: str) -> list[dict[str, Any]]:
    """The resources of a manifest, each of which has the shape of its kind."""
    resources = list(yaml.safe_load_all(text))
    for resource in resources:
        Draft202012Validator({"Job": JOB, "Service": SERVICE}[resource["kind"]]).validate(resource)
    return resources


def expanded(argument: str) -> str:
    """As Kubernetes reads an argument: $$ is a $, and $(NAME) a variable."""
    out, rest = "", argument
    while rest:
        if rest.startswith("$$"):
            out, rest = out + "$", rest[2:]
            continue
        assert not rest.startswith("$("), f"{argument!r} would be expanded"
        out, rest = out + rest[0], rest[1:]
    return out


def pod(resource: dict[str, Any]) -> dict[str, Any]:
    return resource["spec"]["template"]["spec"]


def test_one_process_on_one_node(cluster_job):
    (job,) = read(kubernetes.job_file(cluster_job(gpu_kind="NVIDIA-L4"), image="here/iisan:1", claim="shelf"))
    (container,) = pod(job)["containers"]
    assert job["metadata"] == {"name": "iisan-train-mine"}
    assert (job["spec"]["completions"], job["spec"]["parallelism"]) == (1, 1)
    assert pod(job)["activeDeadlineSeconds"] == 2 * 86400 + 3 * 3600 + 600
    assert pod(job)["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}
    assert container["resources"]["limits"] == {"cpu": "4", "memory": "6Gi", "nvidia.com/gpu": "1"}
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert {"name": "workspace", "mountPath": "/workspace"} in container["volumeMounts"]
    assert {"name": "workspace", "persistentVolumeClaim": {"claimName": "shelf"}} in pod(job)["volumes"]
    assert {"name": "IISAN_WORKSPACE", "value": "/workspace"} in container["env"]
    said = [expanded(argument) for argument in container["command"]]
    assert said == ["iisan", "train", "/workspace/datasets/mine", "--run", "/workspace/runs/mine", *HOSTILE]


def test_a_lost_pod_is_replaced_and_a_refused_command_is_not(cluster_job):
    (job,) = read(kubernetes.job_file(cluster_job(), image="i", claim="c"))
    rules = job["spec"]["podFailurePolicy"]["rules"]
    by_code = {
        code: rule["action"] for rule in rules if "onExitCodes" in rule for code in rule["onExitCodes"]["values"]
    }
    assert by_code == {138: "Ignore", 2: "FailJob"}
    assert rules[0] == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


def test_nodes_find_each_other_by_a_service(cluster_job):
    made = cluster_job(nodes=3, processes=2, gpus=2, cpus=8)
    service, job = read(kubernetes.job_file(made, image="i", claim="c", namespace="team"))
    assert [resource["metadata"]["namespace"] for resource in (service, job)] == ["team", "team"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert pod(job)["subdomain"] == service["metadata"]["name"]
    assert job["spec"]["completions"] == 3
    (container,) = pod(job)["containers"]
    said = container["command"]
    assert said[: said.index("--")] == [
        "torchrun", "--nnodes", "3", "--nproc-per-node", "2", "--master-addr",
        "iisan-train-mine-0.iisan-train-mine", "--master-port", "29500", "--no-python",
    ]  # fmt: skip
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert container["env"][-1] == {"name": "PET_NODE_RANK", "valueFrom": {"fieldRef": {"fieldPath": index}}}


def test_an_extraction_by_several_processes_is_started_by_torchrun(cluster_job):
    made = cluster_job(processes=2, starts_itself=False, cpus=8)
    (job,) = read(kubernetes.job_file(made, image="i", claim="c"))
    said = pod(job)["containers"][0]["command"]
    assert said[:8] == ["torchrun", "--nnodes", "1", "--nproc-per-node", "2", "--standalone", "--no-python", "--"]


def test_what_is_not_in_the_workspace_is_refused(cluster_job, tmp_path):
    outside = tmp_path / "elsewhere"
    for command in (("iisan", "train", str(outside)), ("iisan", "train", f"--config={outside}")):
        with pytest.raises(
            RefusedError, match=r"elsewhere is not in the workspace .*, which is all that the job will see"
        ):
            kubernetes.job_file(cluster_job(command=command, places=frozenset({outside})), image="i", claim="c")
