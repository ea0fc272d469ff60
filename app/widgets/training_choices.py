"""What a training starts from and works on: its caches, its device, its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from app.jobs.devices import gpus
from app.widgets.text import count, size
from app.widgets.training_draft import Values, free_name
from app.widgets.training_fields import show_fault_of
from iisan_core.cache.manifest import CacheManifest
from iisan_core.config.presets import load_preset
from iisan_core.runs.workspace import Workspace, in_fusion_order

LEAVE_OUT = "leave out"


@dataclass(frozen=True)
class Start:
    """What the form starts from: a preset, or an earlier run."""

    preset: str
    values: Values
    caches: dict[str, Path] | None
    base: str
    """Part of the widgets' keys: another start, other widgets."""


def choose_caches(caches: dict[Path, CacheManifest], start: Start) -> dict[str, Path]:
    """One cache per modality, or none of it."""
    wanted = load_preset(start.preset).modalities
    by_modality: dict[str, dict[str, Path]] = {}
    for folder, manifest in caches.items():
        if wanted is None or manifest.modality in wanted:
            same = by_modality.setdefault(manifest.modality, {})
            said = _said(manifest)
            same[said if said not in same else f"{said} ({folder.name})"] = folder
    chosen: dict[str, Path] = {}
    modalities = list(in_fusion_order({name: Path() for name in by_modality}))
    for column, modality in zip(st.columns(max(1, len(modalities))), modalities, strict=False):
        options = [*by_modality[modality], LEAVE_OUT]
        before = None if start.caches is None else start.caches.get(modality)
        known = [folder for folder in by_modality[modality].values() if before and folder.samefile(before)]
        index = list(by_modality[modality].values()).index(known[0]) if known else 0
        option = column.selectbox(
            f"{modality.capitalize()} states",
            options,
            index=len(options) - 1 if start.caches is not None and not known else index,
            key=f"{start.base}:cache of {modality}",
            persist_state="session",
        )
        if option in by_modality[modality]:
            chosen[modality] = by_modality[modality][str(option)]
    return chosen


def _said(manifest: CacheManifest) -> str:
    name, total = Path(manifest.backbone).name, size(manifest.items * manifest.row_bytes)
    return f"{name}, {count(len(manifest.layers), 'layer')}, {manifest.pooling}, {total}"


def choose_device(start: Start) -> str:
    """Where to train; a GPU with what it has free at the moment."""
    cards = gpus()
    choices = {"auto": f"auto ({'GPU' if cards else 'CPU'})", "cpu": "CPU"}
    if cards:
        free = size(cards[0].total_bytes - cards[0].used_bytes)
        choices["cuda"] = f"{cards[0].name}, {free} free, load {cards[0].load_percent} %"
    before = start.values["training"]["device"]
    chosen = st.selectbox(
        "Device",
        list(choices),
        index=list(choices).index(before) if before in choices else 0,
        format_func=choices.__getitem__,
        key=f"{start.base}:device",
        help="One training at a time per device; the next one waits in the queue.",
        persist_state="session",
    )
    return str(chosen)


def choose_name(
    workspace: Workspace, dataset: Path, caches: dict[str, Path], start: Start, faults: dict[str, str]
) -> str:
    """What the run shall be called; a name that is free is there already."""
    proposed = free_name(workspace.runs, "-".join([dataset.name, *(caches or ["ids"])]))
    name = st.text_input(
        "Name of the run", value=proposed, key=f"{start.base}:name of {proposed}", persist_state="session"
    )
    show_fault_of("run", faults)
    return name.strip()
