"""`iisan submit`: what it makes of a command and its plan, and a cluster that takes a training's machine away."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from iisan_core.runs.run_folder import RunFolder
from tests.tiny_world import TinyWorld

ROOM = ("--time", "90m", "--memory", "3")
"""Asked for, so that nothing is planned."""


def training(world: TinyWorld, *more: object, **settings: object) -> list[object]:
    """A training of the tiny world on the CPU."""
    caches = [part for cache in world.caches.values() for part in ("--cache", cache)]
    quick = {"training.device": "cpu", "model.bottleneck": 4, "model.embedding": 8} | settings
    changes = [part for name, value in quick.items() for part in ("--set", f"{name}={value}")]
    return ["train", world.dataset.folder, *caches, "--preset", "plain", *changes, *more]


def directives(script: str) -> dict[str, str]:
    return dict(re.findall(r"^#SBATCH --([a-z-]+)=(.*)$", script, flags=re.MULTILINE))


def command(script: str) -> list[str]:
    """What the script runs."""
    (line,) = [line for line in script.splitlines() if line.startswith("iisan ")]
    return shlex.split(line.removesuffix(" &"))


def test_the_plan_says_how_much_and_how_long(shell: Any, world: TinyWorld, workspace: Path) -> None:
    made = shell("submit", "slurm", "--", *training(world, **{"training.epochs": 50}))
    assert made.code == 0, made.err
    asked = directives(made.out)
    epoch = float(re.search(r"# planned: 50 epochs of (\S+) s as measured on cpu here", made.out)[1])
    days, hours, minutes, seconds = map(int, re.split("[-:]", asked["time"]))
    took = 86400 * days + 3600 * hours + 60 * minutes + seconds
    assert took % 600 == 0
    assert 0 <= took - (600 + 1.5 * 50 * epoch) < 600 + 0.1 * 50 * epoch, "within the rounding of both"
    assert int(asked["mem"].removesuffix("G")) == 5, "four for the libraries, and the little that it takes"
    assert (asked["cpus-per-task"], asked.get("gpus-per-node")) == ("4", None)
    run = workspace / "runs" / "dataset-image-text-1"
    assert command(made.out) == [
        *map(str, ["iisan", *training(world, **{"training.epochs": 50})]),
        "--run",
        str(run),
        "--resume",
    ]
    assert f"export IISAN_WORKSPACE={workspace}" in made.out


def test_a_plan_of_ids_and_of_what_is_only_counted(shell: Any, world: TinyWorld, workspace: Path) -> None:
    for preset, said in (("ids", "# planned: "), ("popular", "# nothing is trained")):
        made = shell("submit", "slurm", "--gpus", "1", "train", world.dataset.folder, "--preset", preset)
        assert made.code == 0, made.err
        assert said in made.out
        assert ("gpus-per-node" in directives(made.out)) == (preset == "ids")


def test_an_extraction_is_planned_too(shell: Any, world: TinyWorld, workspace: Path, bert_folder: Path) -> None:
    made = shell("submit", "slurm", "--gpus", "2", "extract", world.dataset.folder, "--text", bert_folder)
    assert made.code == 0, made.err
    assert "of extraction as on cpu here" in made.out
    assert (directives(made.out)["ntasks-per-node"], directives(made.out)["gpus-per-node"]) == ("2", "2")
    assert "srun --kill-on-bad-exit=1 --cpus-per-task=4 bash -c" in made.out
    assert directives(made.out)["job-name"] == "iisan-extract-tiny-world"


@pytest.mark.parametrize(
    ("options", "settings", "nodes", "gpus", "processes"),
    [
        ((), {}, "1", "1", []),
        (("--gpus", "4"), {}, "1", "4", ["--set", "training.processes=4"]),
        ((), {"training.processes": 4}, "1", "4", []),
        (("--nodes", "2", "--gpus", "0"), {"training.processes": 4}, "2", None, []),
        (("--nodes", "2"), {}, "2", "1", ["--set", "training.processes=2"]),
    ],
)
def test_processes_and_gpus_are_one_each(
    shell: Any, world: TinyWorld, workspace: Path, options: Any, settings: Any, nodes: str, gpus: Any, processes: Any
) -> None:
    run = ("--run", "runs/mine", "--resume")
    typed = training(world, *run, **({"training.device": "auto"} | settings))
    made = shell("submit", "slurm", *ROOM, *options, "--", *typed)
    assert made.code == 0, made.err
    asked = directives(made.out)
    assert (asked["nodes"], asked.get("gpus-per-node"), asked["time"], asked["mem"]) == (
        nodes,
        gpus,
        "0-01:30:00",
        "3G",
    )
    (line,) = [line for line in made.out.splitlines() if "--run" in line]
    assert shlex.split(line.removesuffix(" &"))[-len(typed) - len(processes) :] == [*map(str, typed), *processes]


def test_containers_see_the_workspace_where_it_is_mounted(
    shell: Any, world: TinyWorld, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IISAN_WORKSPACE", str(world.dataset.folder.parent))
    typed = training(world)
    made = shell("submit", "kubernetes", "--image", "i", *ROOM, "--", *typed)
    assert made.code == 0, made.err
    (container,) = yaml.safe_load(made.out)["spec"]["template"]["spec"]["containers"]
    assert container["command"][:5] == ["iisan", "train", "/workspace/dataset", "--cache", "/workspace/image"]
    assert container["command"][-3:] == ["--run", "/workspace/runs/dataset-image-text-1", "--resume"]
    options = ("--image", "i", "--bucket", "gs://b", "--memory", "3")
    made = shell("submit", "skypilot", *options, "--", *typed)
    assert made.code == 0, made.err
    assert "iisan train /workspace/dataset --cache /workspace/image" in yaml.safe_load(made.out)["run"]


@pytest.mark.parametrize(
    ("options", "typed", "sentence"),
    [
        ((), ("study", "ablation"), "`study ablation` cannot be submitted; `train …` and `extract …` can"),
        ((), ("train",), "nothing to train on"),
        (("--time", "soon"), ("train",), "--time 'soon' is no time; give minutes, hours or days, such as 90m"),
        (("--gpus", "1"), "cpu", "--gpus is 1, and the command computes on the cpu"),
        (("--nodes", "2"), "three", "training.processes is 3 on 2 nodes with 2 GPUs each"),
        (("--gpus", "2"), "three", "training.processes is 3 on 1 nodes with 2 GPUs each"),
        ((), ("extract", "dataset"), "nothing to extract: name a backbone"),
        ((), ("train", "--wings"), "No such option: --wings"),
    ],
)
def test_what_the_verb_would_refuse_is_refused_at_once(
    shell: Any, world: TinyWorld, workspace: Path, options: Any, typed: Any, sentence: str
) -> None:
    if typed == "cpu":
        typed = training(world)
    if typed == "three":
        typed = training(world, **{"training.device": "auto", "training.processes": 3})
    typed = [world.dataset.folder if part == "dataset" else part for part in typed]
    outcome = shell("submit", "slurm", *options, "--", *typed)
    assert outcome.code == 2
    assert sentence in " ".join(outcome.err.replace("│", " ").split())


SBATCH = """
import os, signal, subprocess, sys, time
from pathlib import Path
place = Path(os.environ["CLUSTER"])
script, run = sys.stdin.read(), Path(os.environ["RUN"])
(place / "script").write_text(script)
with (place / "log").open("w") as log:
    for start in range(9):
        (place / "again").unlink(missing_ok=True)
        job = subprocess.Popen(["bash", str(place / "script")], stdout=log, stderr=log)
        if start == 0:  # the time is over after an epoch
            while job.poll() is None and not (run / "checkpoint" / "state.safetensors").exists():
                time.sleep(0.05)
            os.kill(job.pid, signal.SIGUSR1)
        code = job.wait()
        if not (place / "again").exists():
            break
print(f"Submitted batch job 7: started {start + 1} times, ended with {code}")
"""
SCONTROL = """
import os, sys
from pathlib import Path
if sys.argv[1] == "requeue":
    (Path(os.environ["CLUSTER"]) / "again").write_text(sys.argv[2])
else:
    print("localhost")
"""
SRUN = """
import os, signal, subprocess, sys
command = sys.argv[1 + sum(word.startswith("--") for word in sys.argv[1:5]):]
own = os.environ["IISAN_RUNTIME"]  # each node has its own devices
places = [{"SLURM_PROCID": str(n), "IISAN_RUNTIME": f"{own}-{n}"} for n in range(2)]
places = [place | {"SLURM_LOCALID": "0", "SLURM_NTASKS": "2"} for place in places]
tasks = [subprocess.Popen(command, env=os.environ | place) for place in places]
signal.signal(signal.SIGUSR1, lambda number, frame: [task.send_signal(number) for task in tasks])
sys.exit(max(task.wait() for task in tasks))
"""


@pytest.fixture
def cluster(tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Slurm of one machine, which asks a job to leave after its first epoch; returns its folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    programs = {"sbatch": SBATCH, "scontrol": SCONTROL, "srun": SRUN, "iisan": "from app.cli import main\nmain()\n"}
    for name, text in programs.items():
        (folder / name).write_text(f"#!{sys.executable}\n{text}")
        (folder / name).chmod(0o755)
    variables = {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path]),
        "CLUSTER": str(tmp_path),
        "RUN": str(workspace / "runs" / "mine"),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "localhost",
        "TMPDIR": str(tmp_path),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.long
@pytest.mark.parametrize("nodes", [1, 2])
def test_a_training_whose_time_is_over_is_queued_again_and_ends(
    shell: Any, world: TinyWorld, cluster: Path, workspace: Path, nodes: int
) -> None:
    run = workspace / "runs" / "mine"
    typed = training(world, "--run", run, **{"training.epochs": 30, "training.patience": 50, "training.batch_size": 4})
    options = (*ROOM, "--cpus", "1", "--nodes", nodes, "--go")
    made = shell("submit", "slurm", *options, "--", *typed)
    log = (cluster / "log").read_text()
    assert made.code == 0, made.err
    assert made.err.strip() == "Submitted batch job 7: started 2 times, ended with 0", log
    assert made.out == ""
    assert "stopped by SIGUSR1; the last finished epoch is kept" in log
    folder = RunFolder.open(run)
    assert folder.status().state == "finished"
    assert [event["epoch"] for event in folder.events()] == list(range(1, 31)), "none twice, none left out"
    assert ("2 processes train together" in folder.log.read_text()) == (nodes == 2)
    assert re.search(r"stopped after epoch \d+ \(stopped\)", folder.log.read_text())


def test_a_run_that_is_there_goes_on_only_as_itself(
    shell: Any, world: TinyWorld, finished: RunFolder, tmp_path: Path
) -> None:
    same = ("train", "--config", finished.path / "config.yaml", "--run", finished.path, "--resume")
    again = shell(*same)
    assert again.code == 0, again.err
    assert "HR@10" in again.out
    other = shell(*same, "--set", "training.epochs=5")
    assert other.code == 2
    assert "training.epochs is 4 there, 5 now" in other.err
    nameless = shell("train", world.dataset.folder, "--cache", world.caches["text"], "--resume")
    assert (nameless.code, "name it with --run" in nameless.err) == (2, True)
