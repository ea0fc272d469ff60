"""Time and memory of an extraction and of a training on it, worked out by `iisan plan` in a process of its own.

It measures on the device, so it imports torch and may wake CUDA; the app does neither.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

import streamlit as st

from app.jobs.process import SHELL
from app.widgets.page import fact
from app.widgets.text import duration, plain, size
from iisan_core.errors import IisanError

PATIENCE = 300
"""Seconds."""
TAKES = ("text", "image", "layers", "text-field", "max-tokens", "dtype", "batch-size", "device")
"""Options that `iisan plan` shares with `iisan extract`."""


def draw_full_plan(extract: list[str]) -> None:
    """A button, and after it the plan; `extract` is the verb `iisan extract` with its arguments."""
    argv = ("plan", extract[1], *_shared(extract[2:]), "--json")
    planned = st.session_state.setdefault("planned", set())
    if st.button(
        "Work out time and memory", icon=":material/timer:", help="Measures on this machine; downloads nothing."
    ):
        planned.add(argv)
    if argv in planned:
        _draw(_plan(argv))


def _shared(options: list[str]) -> list[str]:
    pairs = zip(options[::2], options[1::2], strict=True)
    return [part for pair in pairs if pair[0].removeprefix("--") in TAKES for part in pair]


@st.cache_data(max_entries=16, show_spinner="Working out time and memory …")
def _plan(argv: tuple[str, ...]) -> dict[str, Any]:
    try:
        done = subprocess.run([*SHELL, *argv], capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise IisanError(f"the plan took longer than {PATIENCE} seconds; work it out in the shell instead") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise IisanError(said[-1].removeprefix("iisan: "))
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _draw(plan: dict[str, Any]) -> None:
    for problem in plan["problems"]:
        st.warning(plain(problem), icon=":material/block:")
    if plan["fits"]:
        st.success(f"It fits this machine: {plain(plan['machine']['name'])}.", icon=":material/check_circle:")
    encoders, cost = plan["encoders"], plan["training"]
    boxes = st.columns(len(encoders) + 2)
    for box, (modality, encoder) in zip(boxes, encoders.items(), strict=False):
        took = encoder["extraction"]
        download = f", {size(encoder['download_bytes'])} to download" if encoder["download_bytes"] else ""
        with box:
            note = f"{took['how']}; {size(encoder['extraction_memory_bytes'])} of memory{download}"
            fact(f"Extracting {modality}", duration(took["seconds"]), note)
    with boxes[-2]:
        fact("An epoch after that", duration(cost["epoch_seconds"]), f"{cost['parameters']:,} trainable parameters")
    with boxes[-1]:
        fact("Memory of the training", size(cost["memory_bytes"]), f"{size(plan['machine']['memory_free'])} are free")
    if plan["largest_text_encoder"]:
        st.caption(f"The largest text encoder by name that would fit: {plain(plan['largest_text_encoder'])}")
