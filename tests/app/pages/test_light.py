"""Pages that need no torch do not wait for it, and nothing wakes a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from iisan_core.runs.workspace import Workspace

from .conftest import APP

PROGRAM = """
import sys, threading
from streamlit.testing.v1 import AppTest
from app.ui.warming import THREAD

class Witness:
    importer = THREAD
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            Witness.importer = threading.current_thread().name

sys.meta_path.insert(0, Witness())
for page, view in [("home", ""), ("data", "Items"), ("data", "Overview"), ("compare", ""), ("train", ""),
                   ("backbones", "Extract"), ("backbones", "Caches"), ("backbones", "Registry")]:
    test = AppTest.from_file(f"{sys.argv[1]}/main.py", default_timeout=60)
    test.switch_page(f"pages/{page}.py")
    if view:
        test.query_params["view"] = view
    test.run()
    assert not test.exception and not test.error, (page, test.exception, [e.value for e in test.error])
    assert Witness.importer == THREAD, f"{page} waits for torch"
    assert "pandas" in sys.modules, "it would come in the midst of another visitor's charts, and break them"
for thread in threading.enumerate():
    if thread.name == THREAD:
        thread.join()
assert "torch" not in sys.modules or not sys.modules["torch"].cuda.is_initialized()
print("torch" in sys.modules)
"""


def _torch_is_there_after_browsing(workspace: Path) -> bool:
    environment = os.environ | {"IISAN_WORKSPACE": str(workspace)}
    command = [sys.executable, "-c", PROGRAM, str(APP)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "Exception in thread" not in done.stderr, done.stderr[-2000:]
    return done.stdout.split()[-1] == "True"


def test_browsing_waits_for_no_torch_which_comes_meanwhile(shop: Workspace) -> None:
    assert _torch_is_there_after_browsing(shop.root)


def test_without_a_run_torch_never_comes(tmp_path: Path) -> None:
    assert not _torch_is_there_after_browsing(tmp_path / "empty")
