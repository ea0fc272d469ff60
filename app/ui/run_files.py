"""What lies in a run's folder: its log, its settings and how it was started, its files; and where they come from."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import streamlit as st

from app.formats import count, plain, size
from app.ui.layout import page_link
from app.ui.monitor import EVERY
from app.ui.train_monitor import renewed
from iisan_core.cache.manifest import CacheManifest, read_manifest
from iisan_core.errors import IisanError
from iisan_core.files import read_json
from iisan_core.runs.job_folder import JobFolder
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.workspace import Workspace

MOST_LINES, MOST_BYTES = 2000, 4_000_000
"""Of a log that are shown: its end."""
MOST_OFFERED = 200_000_000
"""Bytes of a file that is offered for download: it goes through the browser."""


def lines_of(path: Path, words: str = "", *, most: int = MOST_LINES) -> tuple[list[str], int]:
    """The last lines of a log that hold all words, and how many held them in what was read of it."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - MOST_BYTES))
        text = stream.read().decode("utf-8", errors="replace")
    wanted = words.lower().split()
    lines = [line.rpartition("\r")[2] for line in text.rstrip("\n").split("\n")]
    found = [line for line in lines if all(word in line.lower() for word in wanted)]
    return found[-most:], len(found)


def draw_log(folder: JobFolder, *, active: bool) -> None:
    """The log with a search, followed while the job is at work, and offered whole."""
    files = {path.name: path for path in dict.fromkeys([folder.log, folder.output]) if path.is_file()}
    if not files:
        st.info("Nothing is written yet.", icon=":material/article:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.segmented_control("File", list(files), default=next(iter(files)), required=True, key="log file")
        words = st.text_input("Search", key="log search", icon=":material/search:", placeholder="epoch, warning …")
        follow = st.toggle("Follow", value=active, key="follow", disabled=not active)
        path = files[str(name)]
        st.download_button(
            "Download",
            path.read_bytes,
            path.name,
            "text/plain",
            icon=":material/download:",
            on_click="ignore",
        )
    st.fragment(_draw_lines, run_every=EVERY if active and follow else None)(folder, path, words or "", active)


def _draw_lines(folder: JobFolder, path: Path, words: str, active: bool) -> None:
    with renewed(folder, active):
        lines, held = lines_of(path, words)
        if not lines:
            st.caption("No line holds these words." if words else "The file is empty.")
            return
        with st.container(height=460, autoscroll=active, border=False):
            st.code("\n".join(lines), language=None, wrap_lines=True)
        more = "" if held <= len(lines) else f", of which the last {len(lines):,} are shown"
        st.caption(f"{count(held, 'line')}{more}")


def draw_settings(run: RunFolder) -> None:
    """How it was started, with which settings, and in which environment."""
    st.markdown("**Command**")
    st.code(run.command() or "unknown", language="bash", wrap_lines=True)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.markdown("**Configuration**")
        text = (run.path / "config.yaml").read_text(encoding="utf-8")
        st.code(text, language="yaml", height=420)
        st.download_button(
            "config.yaml", text, f"{run.name}.yaml", "text/yaml", icon=":material/download:", on_click="ignore"
        )
    with right:
        st.markdown("**Environment**")
        rows = _environment(run)
        if rows:
            st.dataframe(rows, hide_index=True, height=420)
        else:
            st.caption("It is noted when the training begins.")


def _environment(run: RunFolder) -> list[dict[str, str]]:
    try:
        found = read_json(run.path / "environment.json", what="environment")
    except (IisanError, OSError):
        return []
    return [{"what": name, "": value} for name, value in _flat(found)] if isinstance(found, dict) else []


def _flat(values: dict[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        rows += (
            _flat(value) if isinstance(value, dict) else [(name, f"{value:,}" if type(value) is int else str(value))]
        )
    return rows


def draw_files(folder: JobFolder) -> None:
    """Every file of the folder with its size; one of them can be downloaded."""
    paths = sorted(path for path in folder.path.rglob("*") if path.is_file() and not path.is_symlink())
    stats = {path.relative_to(folder.path).as_posix(): path.stat() for path in paths}
    st.caption(
        f"{count(len(stats), 'file')} · {size(sum(s.st_size for s in stats.values()))} · {plain(str(folder.path))}"
    )
    rows = [
        {"file": name, "size": size(found.st_size), "changed": datetime.fromtimestamp(found.st_mtime)}
        for name, found in stats.items()
    ]
    state = st.dataframe(
        rows,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="files of the run",
        column_config={"changed": st.column_config.DatetimeColumn("changed", format="distance")},
        alt="The files of the folder",
    )
    chosen = [rows[row]["file"] for row in state["selection"]["rows"] if row < len(rows)]
    if not chosen:
        st.caption("Tick a file to download it.")
        return
    path = folder.path / str(chosen[0])
    if path.stat().st_size > MOST_OFFERED:
        st.info(f"{plain(path.name)} is too large for a browser; take it from the folder.", icon=":material/folder:")
        return
    st.download_button(
        f"Download {plain(path.name)}", path.read_bytes, path.name, icon=":material/download:", on_click="ignore"
    )


def draw_links(workspace: Workspace, run: RunFolder) -> None:
    """What the run was trained on and with, and where it goes on."""
    config = run.config()
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        if config.dataset.parent.resolve() == workspace.datasets.resolve() and config.dataset.is_dir():
            page_link("data", label=plain(config.dataset.name), dataset=config.dataset.name, help="The data.")
        else:
            st.caption(f":material/database: {plain(config.dataset.name)}, which is not in this workspace")
        for modality, cache in config.caches.items():
            said, whole = _said_of(cache)
            icon = ":material/inventory_2:" if whole else ":material/heart_broken:"
            st.caption(f"{icon} {plain(modality)}: {plain(said)}", width="content")
        if (run.path / "results.json").is_file():
            page_link("recommendations", label="What it recommends", run=run.name)
            page_link("compare", label="Compare")


def _said_of(cache: Path) -> tuple[str, bool]:
    """A cache in a few words, and whether it is there."""
    try:
        manifest: CacheManifest = read_manifest(cache)
    except (IisanError, OSError):
        return f"{cache.name}, which is gone or damaged", False
    return f"{Path(manifest.backbone).name}, {count(len(manifest.layers), 'layer')}", manifest.complete
