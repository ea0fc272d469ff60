"""What all clusters share: names, and handing a file over."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app.jobs.clusters.job import FILE, hand_over, job_name
from iisan_core.errors import IisanError, RefusedError


def test_names_are_such_as_every_cluster_takes():
    assert job_name("train", "My run_1.ö/x") == "iisan-train-my-run-1-x"
    long = job_name("train", "a" * 44 + " and more")
    assert long == "iisan-train-" + "a" * 40
    assert job_name("train", "a" * 39 + " b") == "iisan-train-" + "a" * 39


def test_a_file_is_handed_over_by_name_or_on_standard_input(tmp_path: Path):
    echo = (
        sys.executable,
        "-c",
        "import sys; print(sys.stdin.read() + '|' + ''.join(open(p).read() for p in sys.argv[1:]))",
    )
    assert hand_over(echo, "job\n") == "job\n|"
    assert hand_over((*echo, FILE), "job\n") == "job\n|job"


def test_who_is_not_here_and_who_will_not():
    with pytest.raises(RefusedError, match=r"no-such-sbatch is not here, .*; without --go the job file is printed"):
        hand_over(("no-such-sbatch",), "job")
    with pytest.raises(IisanError, match="will not have the job: no such partition"):
        hand_over((sys.executable, "-c", "import sys; sys.exit('no such partition')"), "job")
