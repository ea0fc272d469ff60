"""The script for sbatch, read by bash: what it asks for, what it runs, and when it is queued again."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.jobs.clusters import slurm
from iisan_core.errors import RefusedError

from .conftest import HOSTILE


def program(folder: Path, name: str, text: str) -> None:
    """A program of this name that bash finds in `folder`."""
    file = folder / name
    file.write_text(f"#!{sys.executable}\n{text}")
    file.chmod(0o755)


RECORD = """
import json, os, sys
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS", "IISAN_WORKSPACE")
said = {name: os.environ.get(name) for name in names} | {"argv": sys.argv[1:], "cwd": os.getcwd()}
with open(os.environ["RECORDS"], "a") as file:
    file.write(json.dumps(said) + "\\n")
"""
SRUN = """
import os, subprocess, sys
command = sys.argv[1 + sum(word.startswith("--") for word in sys.argv[1:5]):]
places = [{"SLURM_PROCID": str(n), "SLURM_LOCALID": str(n % 2), "SLURM_NTASKS": "4"} for n in range(4)]
sys.exit(max([subprocess.run(command, env=os.environ | place).returncode for place in places]))
"""


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The environment of a node on which `iisan` writes down how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program(folder, "iisan", RECORD)
    program(folder, "srun", SRUN)
    program(folder, "scontrol", "import sys; print('first' if 'hostnames' in sys.argv else '\\n'.join(sys.argv[1:]))")
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "RECORDS": str(tmp_path / "records"),
        "SLURM_JOB_ID": "41007",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "TMPDIR": str(tmp_path),
    }


def run(script: str, machine: dict[str, str]) -> tuple[subprocess.CompletedProcess[str], list[dict[str, object]]]:
    done = subprocess.run(["bash"], input=script, env=machine, capture_output=True, text=True, check=False, timeout=60)
    records = Path(machine["RECORDS"])
    lines = records.read_text().splitlines() if records.exists() else []
    return done, [json.loads(line) for line in lines]


def directives(script: str) -> dict[str, str]:
    found = re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", script, flags=re.MULTILINE)
    assert len(found) == script.count("#SBATCH")
    return dict(found)


def test_it_asks_for_what_the_job_needs(cluster_job):
    script = slurm.job_file(cluster_job(gpus=2, processes=2, cpus=8, gpu_kind="a100"), partition="gpu", account="us")
    assert directives(script) == {
        "job-name": "iisan-train-mine",
        "nodes": "1",
        "ntasks-per-node": "1",
        "cpus-per-task": "8",
        "gpus-per-node": "a100:2",
        "mem": "6G",
        "time": "2-03:10:00",
        "signal": "B:USR1@180",
        "open-mode": "append",
        "requeue": "",
        "partition": "gpu",
        "account": "us",
    }
    assert "gpus-per-node" not in directives(slurm.job_file(cluster_job(gpus=0)))


def test_nothing_is_taken_for_a_directive_that_the_user_typed(cluster_job):
    command = ("iisan", "train", "x\n#SBATCH --account=somebody")
    script = slurm.job_file(cluster_job(command=command))
    assert script.index("set -u") < script.index("somebody"), "sbatch reads no further than the first command"
    with pytest.raises(RefusedError, match=r"--partition 'a\\n#SBATCH --x' is no name of Slurm's"):
        slurm.job_file(cluster_job(), partition="a\n#SBATCH --x")


@pytest.mark.parametrize(
    "changes", [{}, {"nodes": 2, "processes": 2, "cpus": 8}, {"processes": 2, "starts_itself": False}]
)
def test_bash_and_shellcheck_find_nothing_wrong(cluster_job, changes):
    script = slurm.job_file(cluster_job(**changes))
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    if shutil.which("shellcheck") is None:
        pytest.skip("bash reads it; shellcheck, which would look closer, is not installed")
    # SC2016 says that quoted text is not expanded, which is what it is quoted for
    found = subprocess.run(
        ["shellcheck", "--exclude=SC2016", "-"], input=script, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout


def test_the_command_arrives_as_it_was_typed(cluster_job, machine):
    job = cluster_job()
    done, (called,) = run(slurm.job_file(job), machine)
    assert done.returncode == 0, done.stderr
    assert called["argv"] == list(job.command[1:])
    assert called["argv"][-len(HOSTILE) :] == list(HOSTILE)
    assert (called["cwd"], called["IISAN_WORKSPACE"]) == (str(job.folder), str(job.workspace))
    assert (called["WORLD_SIZE"], called["OMP_NUM_THREADS"]) == (None, "4")
    assert not list(job.folder.rglob("pwned"))


def test_srun_starts_the_processes_of_all_nodes(cluster_job, machine):
    job = cluster_job(nodes=2, processes=2, cpus=8, gpus=2)
    script = slurm.job_file(job)
    assert (directives(script)["nodes"], directives(script)["ntasks-per-node"]) == ("2", "2")
    assert directives(script)["cpus-per-task"] == "4"
    done, called = run(script, machine)
    assert done.returncode == 0, done.stderr
    assert [call["argv"] for call in called] == [list(job.command[1:])] * 4
    assert [(call["RANK"], call["LOCAL_RANK"]) for call in called] == [("0", "0"), ("1", "1"), ("2", "0"), ("3", "1")]
    place = {(call["WORLD_SIZE"], call["MASTER_ADDR"], call["MASTER_PORT"]) for call in called}
    assert place == {("4", "first", str(20000 + 41007 % 20000))}


@pytest.mark.parametrize(
    ("answer", "asked", "again"),
    [(138, True, True), (138, False, False), (0, True, False), (1, True, False), (None, True, True)],
    ids=["asked and stopped", "stopped by itself", "done in time", "failed meanwhile", "deaf and dead"],
)
def test_it_is_queued_again_only_where_it_stopped_for_the_asking(cluster_job, machine, tmp_path, answer, asked, again):
    heard = f"signal.signal(signal.SIGUSR1, lambda *_: sys.exit({answer}))" if answer is not None else ""
    wait = "time.sleep(30)" if asked else f"sys.exit({answer})"
    text = f"import os, signal, sys, time\n{heard}\nopen(os.environ['RECORDS'], 'w').close()\n{wait}\n"
    program(tmp_path / "bin", "iisan", text)
    script = tmp_path / "script"
    script.write_text(slurm.job_file(cluster_job()))
    batch = subprocess.Popen(
        ["bash", str(script)], env=machine, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while asked and not Path(machine["RECORDS"]).exists():
        time.sleep(0.05)
    if asked:
        batch.send_signal(signal.SIGUSR1)
    said, errors = batch.communicate(timeout=25)
    assert (said.split() == ["requeue", "41007"]) == again, errors
    assert batch.returncode == (0 if again or answer is None else answer)
