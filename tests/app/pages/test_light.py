"""Pages that need no torch do not wait for it."""

from __future__ import annotations

import os
import subprocess
import sys

from iisan_core.workspace import Workspace

from .conftest import APP

PROGRAM = """
import sys
from streamlit.testing.v1 import AppTest
for page, view in [("home", ""), ("data", "Items"), ("data", "Overview"), ("compare", ""), ("backbones", "Extract"),
                   ("backbones", "Caches"), ("backbones", "Registry")]:
    test = AppTest.from_file(f"{sys.argv[1]}/main.py", default_timeout=60)
    test.switch_page(f"pages/{page}.py")
    if view:
        test.query_params["view"] = view
    test.run()
    assert not test.exception and not test.error, (page, test.exception, test.error)
    assert "torch" not in sys.modules, page
"""


def test_browsing_never_imports_torch(shop: Workspace) -> None:
    environment = os.environ | {"IISAN_WORKSPACE": str(shop.root)}
    subprocess.run([sys.executable, "-c", PROGRAM, str(APP)], check=True, env=environment, capture_output=True)
