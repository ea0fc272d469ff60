"""The hidden-state caches of the workspace: what they are, whether they are whole, and away with them."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app.charts.palette import tower_colour
from app.widgets.faults import show_fault
from app.widgets.page import empty_state
from app.widgets.reading import CacheFacts, cache_manifests
from app.widgets.text import count, plain, size
from iisan_core.cache.manifest import CacheManifest
from iisan_core.errors import IisanError
from iisan_core.runs.workspace import Workspace

COLOURS = {"complete": "green", "unfinished": "orange", "broken": "red"}


def draw_caches(workspace: Workspace) -> None:
    """One box per cache."""
    found = cache_manifests(workspace)
    if not found:
        empty_state(
            "No hidden states are cached yet",
            "Pick backbones under Extract: every item goes through them once, and never again.",
            icon=":material/inventory_2:",
        )
        return
    st.caption(f"{count(len(found), 'cache')} · {size(sum(cache.disk_bytes for cache in found))} on the disk")
    for cache in found:
        _draw_cache(cache)


def _draw_cache(cache: CacheFacts) -> None:
    key = f"{cache.folder.parent.name}/{cache.folder.name}"
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            with st.container(horizontal=True, vertical_alignment="center", width="content"):
                st.badge(cache.state, color=COLOURS[cache.state])  # type: ignore[arg-type]
                st.markdown(f"**{plain(_title(cache))}**", width="content")
            with st.container(horizontal=True, width="content"):
                if cache.state == "complete" and st.button("Verify", icon=":material/verified:", key=f"verify {key}"):
                    _verify(cache.folder)
                if st.button("Delete", icon=":material/delete:", key=f"delete {key}"):
                    _confirm(cache)
        if cache.manifest is None:
            st.markdown(plain(cache.problem))
        else:
            _draw_facts(cache.manifest, cache.disk_bytes)


def _title(cache: CacheFacts) -> str:
    if cache.manifest is None:
        return f"{cache.folder.parent.name} · {cache.folder.name}"
    return f"{cache.folder.parent.name} · {cache.manifest.modality} · {Path(cache.manifest.backbone).name}"


def _draw_facts(manifest: CacheManifest, disk_bytes: int) -> None:
    layers = "".join(
        f'<span style="display:inline-block;min-width:1.6em;text-align:center;margin:0 3px 3px 0;padding:1px 5px;'
        f"border-radius:6px;color:#fff;font-size:.78rem;"
        f'background:{tower_colour(manifest.modality)}">{int(layer)}</span>'
        for layer in manifest.layers
    )
    st.html(f"<div>layers {layers}</div>")
    read = f"{manifest.max_tokens} tokens of {', '.join(manifest.text_fields)}" if manifest.text_fields else "pictures"
    widths = ", ".join(f"{width:,}" for width in dict.fromkeys(manifest.widths))
    said = (
        f"{manifest.items:,} rows, {size(disk_bytes)} · width {widths} · {manifest.dtype} · {manifest.pooling} · {read}"
    )
    st.caption(plain(said))


def _verify(folder: Path) -> None:
    """Read the whole cache and compare checksums."""
    from iisan_core.cache.store import HiddenStateCache

    try:
        with st.spinner("Reading the whole cache …"):
            HiddenStateCache.open(folder).verify()
    except IisanError as error:
        show_fault(error)
    else:
        st.toast("The cache is whole.", icon=":material/verified:")


@st.dialog("Delete this cache?")
def _confirm(cache: CacheFacts) -> None:
    st.markdown(f"**{plain(_title(cache))}** · {size(cache.disk_bytes)}")
    st.markdown("Its states would have to be extracted again. Runs that were trained on it keep their results.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it"):
            st.rerun()
        if st.button("Delete", type="primary", icon=":material/delete:", key="really delete"):
            _delete(cache.folder)


def _delete(folder: Path) -> None:
    from iisan_core.cache.inventory import remove

    try:
        remove(folder)
    except IisanError as error:
        show_fault(error)
        return
    st.rerun()
