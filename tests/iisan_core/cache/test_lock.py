"""The lock goes with its process, whatever became of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from iisan_core.cache.writer import only_one
from iisan_core.errors import RefusedError

HOLDS = """
import sys
from pathlib import Path
from iisan_core.cache.writer import only_one
with only_one(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    folder = tmp_path / "caches" / "one"
    command = [sys.executable, "-c", HOLDS, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with (
            pytest.raises(RefusedError, match=f"process {holder.pid} on .* is extracting into {folder}"),
            only_one(folder),
        ):
            pass
        with only_one(folder.with_name("another")):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with only_one(folder):
        pass


def test_an_error_inside_lets_the_lock_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), only_one(tmp_path / "one"):
        raise ZeroDivisionError
    with only_one(tmp_path / "one"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".one.lock"]
