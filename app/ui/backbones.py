"""Backbones and what is kept of them: the registry, what is known of one before it is loaded, and the caches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from app.charts.palette import tower_colour
from app.formats import count, plain, size
from app.keeping.dependents import of_cache
from app.ui.layout import empty_state, show_fault, state_badge, workspace
from app.ui.readers import cache_manifests
from iisan_core.backbones.local import local_folder
from iisan_core.backbones.registry import BackboneEntry, backbone_catalogue, find_entry
from iisan_core.cache.manifest import CacheFacts, CacheManifest
from iisan_core.errors import IisanError
from iisan_core.files import read_json
from iisan_core.runs.workspace import Workspace


@dataclass(frozen=True)
class Shape:
    """What is known of a backbone before it is loaded."""

    name: str
    widths: tuple[int, ...]
    """D of each layer 0 … n."""
    parameters: int | None


def shape_of(name: str, modality: str) -> Shape | None:
    """Layers and widths; None where only the hub knows them."""
    entry = find_entry(name)
    if entry is None:
        return _shape_in(Path(name).expanduser(), modality)
    tower = entry.towers.get(modality)
    return Shape(entry.name, tuple(tower.widths), tower.parameters) if tower else None


def _shape_in(folder: Path, modality: str) -> Shape | None:
    """From the folder's own configuration, where layers are of one width."""
    config = _config_in(folder)
    inner = {"text": "text_config", "image": "vision_config", "joint": "text_config"}.get(modality, "")
    facts = config.get(inner, config)
    layers, width = facts.get("num_hidden_layers"), facts.get("hidden_size")
    if not isinstance(layers, int) or not isinstance(width, int):
        return None
    return Shape(folder.name, (width,) * (layers + 1), None)


def _config_in(folder: Path) -> dict[str, Any]:
    """Empty where there is none that can be read."""
    try:
        config = read_json(folder / "config.json", what="backbone")
    except (IisanError, OSError):
        return {}
    return config if isinstance(config, dict) else {}


def names_for(workspace: Workspace, modality: str) -> list[str]:
    """Backbones to pick from: the workspace's own, what lies here, then the others of the registry."""
    own = [str(p) for p in sorted(workspace.backbones.glob("*")) if _reads(p, modality)]
    known = [entry.name for entry in backbone_catalogue() if modality in entry.towers]
    return [*own, *(n for n in known if _is_here(n)), *(n for n in known if not _is_here(n))]


def _reads(folder: Path, modality: str) -> bool:
    """Text models have a vocabulary, image models a patch or picture size, joint models write about both."""
    config = _config_in(folder)
    joint = "vision_config" in config and any("Generation" in name for name in config.get("architectures") or ())
    if joint or modality == "joint":
        return joint and modality == "joint"
    return bool(config) and ("vocab_size" in config) == (modality == "text")


def lies_here(name: str) -> bool:
    """Whether a backbone can be used without a download: one of the workspace, or of the registry with its weights."""
    return Path(name).is_absolute() or _is_here(name)


@st.cache_data(ttl=60, max_entries=500, show_spinner=False)
def _is_here(name: str) -> bool:
    return local_folder(name) is not None


def said_name(name: str) -> str:
    """A backbone's name for people: a folder by its own name; what has to be downloaded is marked."""
    if Path(name).is_absolute():
        return f"{Path(name).name} (workspace)"
    entry = find_entry(name)
    if entry is None or _is_here(name):
        return name
    return f"{name} · to be downloaded, {entry.parameters / 1e6:,.0f} M parameters"


def draw_registry() -> None:
    """Every backbone that has a name here."""
    entries = backbone_catalogue()
    first, second, third, fourth = st.columns([2, 3, 2, 2], vertical_alignment="bottom")
    modalities = list(dict.fromkeys(name for entry in entries for name in entry.towers))
    wanted = first.selectbox("Encodes", ["anything", *modalities], key="encodes")
    families = second.multiselect("Family", list(dict.fromkeys(e.family for e in entries)), key="families")
    most = third.selectbox("At most", [None, 50, 150, 500, 1000, 10_000], key="most", format_func=_said_size)
    here = fourth.toggle("Only what lies here", key="only here")
    found = [e for e in entries if _fits(e, str(wanted), families, most) and (_is_here(e.name) or not here)]
    st.caption(f"{count(len(found), 'backbone')} · any other hub id or folder in the transformers format works as well")
    if not found:
        st.info("No backbone meets these filters; take one away.", icon=":material/filter_alt_off:")
        return
    st.dataframe(
        [_row(entry) for entry in found],
        hide_index=True,
        height=min(38 * len(found) + 40, 620),
        column_config={
            "name": st.column_config.TextColumn("name", pinned=True),
            "parameters": st.column_config.NumberColumn("parameters", format="compact"),
            "here": st.column_config.CheckboxColumn("here", help="Its weights lie on this machine."),
            "gated": st.column_config.CheckboxColumn("gated", help="The hub asks for an agreement first."),
        },
    )


def _said_size(millions: int | None) -> str:
    return "any size" if millions is None else f"{millions:,} M parameters"


def _fits(entry: BackboneEntry, modality: str, families: Sequence[str], most: int | None) -> bool:
    right_kind = modality == "anything" or modality in entry.towers
    right_size = most is None or entry.parameters <= most * 1e6
    return right_kind and right_size and (not families or entry.family in families)


def _row(entry: BackboneEntry) -> dict[str, object]:
    towers = entry.towers.values()
    return {
        "name": entry.name,
        "family": entry.family,
        "encodes": " + ".join(entry.towers),
        "kind": entry.kind,
        "layers": " / ".join(str(tower.layers) for tower in towers),
        "width": " / ".join(str(tower.width) for tower in towers),
        "parameters": entry.parameters,
        "pooling": " / ".join(dict.fromkeys(tower.pooling for tower in towers)),
        "here": _is_here(entry.name),
        "gated": entry.gated,
        "hub id": entry.hub_id,
    }


def draw_caches(workspace: Workspace) -> None:
    """One box per cache: what it is, whether it is whole, and away with it."""
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
                state_badge(cache.state)
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
    read += " and the picture" if manifest.kind == "joint" else ""
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
    if readers := of_cache(workspace(), cache.folder):
        st.warning(plain(", ".join(reader.name for reader in readers[:8])), icon=":material/link:")
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
