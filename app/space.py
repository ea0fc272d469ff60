"""A Gradio Space of a shared run: the demo, the run and this package's own files in one folder that fetches nothing."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
from pathlib import Path

import gradio

from iisan_core.errors import RefusedError
from iisan_core.files import write_text
from iisan_core.serving.shared_folder import shared_run

HERE = Path(__file__).parents[1]
OURS = ("iisan_core", "app/__init__.py", "app/demo.py", "app/formats.py", "app/pictures.py", "app/gradio_demo",
        "app/charts/__init__.py", "app/charts/palette.py")  # fmt: skip
"""What of this package the demo imports."""
NEEDED = ("torch", "transformers", "safetensors", "numpy", "polars", "lazy-loader", "pydantic", "pyyaml", "pillow",
          "psutil", "filelock", "scipy", "urllib3", "tqdm", "sentencepiece", "protobuf")  # fmt: skip
"""Of the packages that this one depends on; gradio comes with the Space."""
PROGRAM = '''"""Shows the run beside this file. Nothing is fetched."""

import os
from pathlib import Path

from app.demo import demo_of, launch

RUN = Path(__file__).parent / "runs" / {run!r}
launch(
    demo_of(RUN, title={title!r}),
    host=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"),
    port=int(os.environ.get("GRADIO_SERVER_PORT", "7860")),
)
'''
CARD = """---
title: {title}
sdk: gradio
sdk_version: {version}
app_file: space.py
license: {licence}
models:
- {model}
---

A demo of `{model}`: compose a history, see what is recommended and why.
Inference only. `python space.py` starts it anywhere, without the network.
"""


def make_space(folder: Path, *, model: str, licence: str) -> None:
    """Turn a folder that holds a shared run into a Space; raises `RefusedError` if it holds none.

    model    the run's name on the hub
    licence  as for the run
    """
    run = shared_run(folder)
    title = model.rsplit("/", 1)[-1]
    for name in OURS:
        source, target = HERE / name, folder / name
        if not source.exists():
            raise RefusedError(f"this installation lacks {name}; install the package anew to make a Space")
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    write_text(folder / "space.py", PROGRAM.format(run=run.name, title=title))
    write_text(folder / "requirements.txt", "\n".join(requirements()) + "\n")
    write_text(folder / "README.md", CARD.format(title=title, version=gradio.__version__, licence=licence, model=model))


def requirements() -> list[str]:
    """What the demo needs beside gradio, in the versions that this package asks for."""
    asked = importlib.metadata.requires("iisan-workbench") or []
    named = {re.split(r"[^A-Za-z0-9-]", line, maxsplit=1)[0].lower(): line for line in asked if "extra ==" not in line}
    return [named[name] for name in NEEDED if name in named]
