"""The form that starts a training: what it starts from and works on, the few settings that matter, the rest folded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st
import yaml

from app.formats import count, plain, size
from app.jobs.devices import gpus
from app.jobs.process import start_run
from app.names import free_name
from app.ui.choices import AT_HAND, choose_dataset, no_dataset
from app.ui.layout import empty_state
from app.ui.presets import offer_to_save
from app.ui.readers import dataset_folders, read_dataset
from app.ui.train_settings import GROUPS, Draft, Values, fields_of, nearest_preset, setting, show_fault_of, values_of
from iisan_core.cache.manifest import CacheManifest
from iisan_core.config.presets import load_preset, preset_names
from iisan_core.config.schema import RunConfig
from iisan_core.errors import IisanError
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.workspace import Workspace, in_fusion_order

MAIN = ("epochs", "batch_size", "learning_rate", "san_learning_rate", "seed")
"""Settings of `training` that are not folded away."""
LEAVE_OUT = "leave out"
RUN, LIKE, FAULT = "run", "like", "training_fault"
"""Keys: the run that was just started, the one that a new one is made from, and why a start was refused."""


@dataclass(frozen=True)
class Start:
    """What the form starts from: a preset, or an earlier run."""

    preset: str
    values: Values
    caches: dict[str, Path] | None
    base: str
    """Part of the widgets' keys: another start, other widgets."""


def training_form(workspace: Workspace) -> None:
    """Draw the form; a start shows the new run."""
    if not dataset_folders(workspace):
        no_dataset()
        return
    like = _like(workspace)
    if like and (workspace.datasets / like.config().dataset.name).is_dir():
        st.session_state[AT_HAND] = like.config().dataset.name
    data, chosen = st.columns([1, 1])
    with data:
        dataset = choose_dataset(workspace)
    if dataset is None:
        return
    caches = workspace.complete_caches(read_dataset(dataset))
    with chosen:
        start = _from_run(like, like.config()) if like else _from_preset(dataset)
    preset = load_preset(start.preset)
    if not like:
        st.caption(plain(f"{preset.description} {preset.measured}"))
    if not caches and preset.modalities != []:
        empty_state(
            "No cached states yet",
            f"Training reads hidden states from a cache, and {dataset.name} has none. Pick backbones and extract.",
            icon=":material/inbox:",
            page="backbones",
        )
        return
    _draw_form(workspace, dataset, caches, start)


def _like(workspace: Workspace) -> RunFolder | None:
    """The run that a new one is made from, if the address names one that is there."""
    name = st.query_params.get(LIKE, "")
    place = workspace.runs / name
    there = name not in ("", "..") and Path(name).name == name and (place / "config.yaml").is_file()
    return RunFolder(place) if there else None


def _from_preset(dataset: Path) -> Start:
    names = preset_names()
    own = dataset.name if dataset.name in names else "default"
    preset = st.selectbox(
        "Preset",
        names,
        index=names.index(own),
        key=f"preset of {dataset.name}",
        label_visibility="collapsed",
        icon=":material/tune:",
        persist_state="session",
    )
    return Start(str(preset), values_of(load_preset(str(preset))), None, base=f"{preset}@{dataset.name}")


def _from_run(run: RunFolder, config: RunConfig) -> Start:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(f":material/content_copy: Settings of run **{plain(run.name)}**", width="content")
        if st.button("Use a preset"):
            del st.query_params[LIKE]
            st.rerun()
    return Start(nearest_preset(config), values_of(config), dict(config.caches), base=f"like {run.name}")


def _draw_form(workspace: Workspace, dataset: Path, caches: dict[Path, CacheManifest], start: Start) -> None:
    key = f"faults of {start.base}"
    faults: dict[str, str] = st.session_state.get(key, {})
    chosen = _choose_caches(caches, start)
    values: Values = {group: dict(fields) for group, fields in start.values.items()}
    for column, field in zip(st.columns(len(MAIN)), MAIN, strict=True):
        with column:
            _draw_setting("training", field, values, start, faults)
    left, right = st.columns(2)
    with left:
        values["training"]["device"] = _choose_device(start)
    with right:
        name = _choose_name(workspace, dataset, chosen, start, faults)
    _draw_folded(values, start, faults)
    draft = Draft(start.preset, dataset, chosen, values, workspace.runs, name)
    config, found = draft.checked()
    if found != faults:  # so that every fault stands at its field, above
        st.session_state[key] = found
        st.rerun()
    _draw_start(draft, config, found)


def _choose_caches(caches: dict[Path, CacheManifest], start: Start) -> dict[str, Path]:
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
        known = [n for n, folder in enumerate(by_modality[modality].values()) if before and folder.samefile(before)]
        first = 0 if start.caches is None else len(options) - 1
        option = column.selectbox(
            f"{modality.capitalize()} states",
            options,
            index=known[0] if known else first,
            key=f"{start.base}:cache of {modality}",
            persist_state="session",
        )
        if option in by_modality[modality]:
            chosen[modality] = by_modality[modality][str(option)]
    return chosen


def _said(manifest: CacheManifest) -> str:
    name, total = Path(manifest.backbone).name, size(manifest.items * manifest.row_bytes)
    return f"{name}, {count(len(manifest.layers), 'layer')}, {manifest.pooling}, {total}"


def _choose_device(start: Start) -> str:
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


def _choose_name(
    workspace: Workspace, dataset: Path, caches: dict[str, Path], start: Start, faults: dict[str, str]
) -> str:
    """What the run shall be called; a name that is free is there already."""
    proposed = free_name(workspace.runs, "-".join([dataset.name, *(caches or ["ids"])]))
    name = st.text_input(
        "Name of the run", value=proposed, key=f"{start.base}:name of {proposed}", persist_state="session"
    )
    show_fault_of("run", faults)
    return name.strip()


def _draw_folded(values: Values, start: Start, faults: dict[str, str]) -> None:
    """All other settings, as the configuration lists them; open while one of them has a fault."""
    shown = {f"training.{name}" for name in (*MAIN, "device")}
    hidden = [place for place in faults if place not in shown and place != "run"]
    with st.expander("All settings", icon=":material/settings:", expanded=bool(hidden)):
        for group in GROUPS:
            st.markdown(f"**{group.capitalize()}**")
            show_fault_of(group, faults)
            names = [name for name in fields_of(group) if f"{group}.{name}" not in shown]
            columns = st.columns(3)
            for number, name in enumerate(names):
                with columns[number % 3]:
                    _draw_setting(group, name, values, start, faults)
    show_fault_of("", faults)


def _draw_setting(group: str, name: str, values: Values, start: Start, faults: dict[str, str]) -> None:
    """Draw the widget of a field, and put what it says into `values`."""
    values[group][name] = setting(group, name, start.values[group][name], base=start.base, faults=faults)


def _draw_start(draft: Draft, config: RunConfig | None, faults: dict[str, str]) -> None:
    with st.expander("The same in the shell, and the configuration", icon=":material/terminal:"):
        st.code(draft.command(), language="bash", wrap_lines=True)
        if config is not None:
            st.code(_as_yaml(config), language="yaml", height=320)
    if refusal := st.session_state.pop(FAULT, ""):
        st.error(plain(refusal), icon=":material/error:")
    button, note = st.columns([1, 3], vertical_alignment="center")
    button.button(
        "Start training",
        type="primary",
        icon=":material/play_arrow:",
        disabled=config is None,
        width="stretch",
        on_click=_start,
        args=(config, draft),
    )
    if config is not None:
        offer_to_save(config, draft.preset)
    if faults:
        note.markdown(f":red[{count(len(faults), 'setting')} to correct first.]")
    else:
        note.caption("It runs by itself: close this page, or the whole app, and find it again here.")


def _start(config: RunConfig, draft: Draft) -> None:
    """Start, and show the run; a refusal is shown at the button."""
    command = draft.command().replace(" \\\n  ", " ")
    try:
        run = start_run(config, draft.run, command=command)
    except (IisanError, OSError) as error:
        st.session_state[FAULT] = str(error)
        return
    st.session_state[RUN] = run.name


def _as_yaml(config: RunConfig) -> str:
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
