"""Pick backbones and layers, see what it will take, and start the extraction as a job."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import streamlit as st

from app.charts.model import Ladder, ladder_chart
from app.formats import duration, plain, size
from app.jobs.process import SHELL, start
from app.ui.backbones import Shape, lies_here, names_for, said_name, shape_of
from app.ui.choices import choose_dataset
from app.ui.layout import draw_chart, facts, show_fault, theme
from app.ui.monitor import jobs_of, watch
from app.ui.readers import read_dataset
from iisan_core.backbones.layers import choose_layers
from iisan_core.cache.manifest import ITEM_BYTES, CacheSettings
from iisan_core.data.dataset import Dataset
from iisan_core.errors import IisanError, RefusedError
from iisan_core.runs.workspace import Workspace, in_fusion_order

NONE = "none"
MODALITIES = ("text", "image", "joint", "video", "audio")
IN_EVERY_CATALOGUE = ("text", "image", "joint")
"""Video and audio are offered where the catalogue names such files; an image backbone reads a video's frames, and a
joint one picture and text together."""
LAYERS = ("even", "group:7", "all", "own choice")
TAKEN_BY_PLAN = (*IN_EVERY_CATALOGUE, "layers", "text-field", "max-tokens", "dtype", "batch-size", "device")
"""Options that `iisan plan` shares with `iisan extract`."""
PATIENCE = 300
"""Seconds that it may take."""
SHOWN_JOBS = 3
DEFAULTS = CacheSettings()


def draw_extraction(workspace: Workspace) -> None:
    """The form, the ladders, the plan, and the extractions that go on or went."""
    folder = choose_dataset(workspace)
    if folder is None:
        return
    dataset = read_dataset(folder)
    chosen = _choose_backbones(workspace, dataset)
    settings = _choose_settings(dataset)
    if not chosen:
        st.info(
            "Pick a text backbone, an image backbone, both, or one that reads both together.",
            icon=":material/layers:",
        )
    else:
        _draw_plan(workspace, dataset, chosen, settings)
        if st.button("Start the extraction", type="primary", icon=":material/play_arrow:", key="start extraction"):
            _start(workspace, dataset, chosen, settings)
    _draw_jobs(workspace)


def _choose_backbones(workspace: Workspace, dataset: Dataset) -> dict[str, str]:
    """Modality → name of its backbone."""
    chosen = {}
    offered = [m for m in MODALITIES if m in IN_EVERY_CATALOGUE or m in dataset.items.columns]
    for column, modality in zip(st.columns(len(offered)), offered, strict=True):
        names = names_for(workspace, _read_as(modality))
        name = column.selectbox(
            f"{modality.capitalize()} backbone",
            [NONE, *names],
            index=int(_shows(dataset, modality) and lies_here(names[0])),  # the first of them, or none
            key=f"{modality} backbone",
            format_func=said_name,
            accept_new_options=True,
            help="A name of the registry, a hub id, or a folder in the transformers format.",
            persist_state="session",
        )
        if name and name != NONE:
            own = workspace.backbones / Path(str(name)).name
            chosen[modality] = str(own) if str(name) == own.name and own.is_dir() else str(name)
    return chosen


def _shows(dataset: Dataset, modality: str) -> bool:
    """Whether text or pictures are there to be read; other modalities are read only on demand."""
    return modality == "text" or (modality == "image" and dataset.items["image"].is_not_null().any())


def _read_as(modality: str) -> str:
    return "image" if modality == "video" else modality


def _choose_settings(dataset: Dataset) -> dict[str, Any]:
    """The options of `iisan extract`, by their names there; unset ones are left out."""
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        choice = st.segmented_control("Layers to keep", LAYERS, default=DEFAULTS.layers, required=True, key="layers")
    layers = str(choice)
    if choice == "own choice":
        layers = right.text_input(
            "Layer numbers, or group:k", "0,-1", key="own layers", help="Negatives count from the end."
        )
    with st.expander("More settings", icon=":material/tune:"):
        first, second, third = st.columns(3)
        fields = first.multiselect(
            "Text columns", dataset.text_columns, default=DEFAULTS.text_fields, key="text fields"
        )
        tokens = first.number_input("Tokens at most", 1, 4096, DEFAULTS.max_tokens, key="max tokens")
        pooling = second.selectbox("Pooling", ["the backbone's own", "mean", "mean-all", "cls", "last"], key="pooling")
        dtype = second.selectbox("Stored as", list(ITEM_BYTES), key="dtype")
        batch = third.number_input("Items at once", 1, 4096, 64, key="extraction batch")
        name = first.text_input(
            "Name of these states", key="as", help="Where a modality is read twice, such as caption."
        )
        device = third.selectbox("Device", ["auto", "cpu", "cuda"], key="extraction device")
    return {
        "layers": layers,
        "text-field": fields,
        "max-tokens": tokens,
        "pooling": None if pooling == "the backbone's own" else pooling,
        "dtype": dtype,
        "batch-size": batch,
        "device": device,
        "as": name.strip() or None,
    }


def _command(dataset: Dataset, chosen: dict[str, str], settings: dict[str, Any]) -> list[str]:
    """The verb and its arguments."""
    argv = ["extract", str(dataset.folder)]
    for modality, name in chosen.items():
        argv += [f"--{modality}", name]
    for option, value in settings.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                argv += [f"--{option}", str(one)]
    return argv


def _draw_plan(workspace: Workspace, dataset: Dataset, chosen: dict[str, str], settings: dict[str, Any]) -> None:
    """The ladders, and what the cache will take."""
    found = {modality: shape_of(name, _read_as(modality)) for modality, name in chosen.items()}
    shapes = {modality: shape for modality, shape in found.items() if shape is not None}
    unknown = ", ".join(name for modality, name in chosen.items() if modality not in shapes)
    if unknown:
        st.info(f"Layers and widths of {plain(unknown)} are known once it is loaded.", icon=":material/help:")
    kept = {m: choose_layers(settings["layers"], len(shape.widths) - 1) for m, shape in shapes.items()}
    order = in_fusion_order({modality: Path() for modality in shapes})
    ladders = [Ladder(m, shapes[m].name, shapes[m].widths, tuple(kept[m])) for m in order]
    if ladders:
        draw_chart(ladder_chart(ladders, theme=theme()), key="ladders")
        if len(ladders) > 1:
            st.caption(
                "Coloured rungs are kept. Squares are the blocks of the inter network, diamonds the transformation "
                "layers (DTL) that bring the wider modality to the narrower one's width."
            )
        _draw_size(workspace, dataset, shapes, kept, settings["dtype"])
    if not unknown and set(chosen) <= set(IN_EVERY_CATALOGUE):
        _draw_full_plan(_command(dataset, chosen, settings))
    with st.expander("The same in the shell", icon=":material/terminal:"):
        st.code(shlex.join(["iisan", *_command(dataset, chosen, settings)]), language="bash")


def _draw_size(
    workspace: Workspace, dataset: Dataset, shapes: dict[str, Shape], kept: dict[str, list[int]], dtype: str
) -> None:
    per_item = sum(shape.widths[layer] for m, shape in shapes.items() for layer in kept[m]) * ITEM_BYTES[dtype]
    every = sum(sum(shape.widths) for shape in shapes.values()) * 4
    total, free = per_item * dataset.items.height, _free(workspace.root)
    parameters = sum(shape.parameters or 0 for shape in shapes.values())
    facts(
        [
            ("Kept per item", size(per_item), f"all layers in float32 would be {size(every)}"),
            ("Cache", size(total), f"{dataset.items.height:,} items"),
            ("Fits on the disk", "yes" if total < free else "no", f"{size(free)} are free"),
            ("Backbone weights", size(4 * parameters) if parameters else "–", "in float32, while it extracts"),
        ]
    )


def _free(root: Path) -> int:
    """Bytes that are free where the workspace lies, or will."""
    there = next(path for path in (root, *root.parents) if path.exists())
    return shutil.disk_usage(there).free


def _draw_full_plan(extract: list[str]) -> None:
    """A button, and after it time and memory of the extraction and of a training on it.

    extract  the verb `iisan extract` with its arguments
    """
    argv = ("plan", extract[1], *_shared(extract[2:]), "--json")
    planned = st.session_state.setdefault("planned", set())
    if st.button(
        "Work out time and memory", icon=":material/timer:", help="Measures on this machine; downloads nothing."
    ):
        planned.add(argv)
    if argv in planned:
        _draw_costs(_plan(argv))


def _shared(options: list[str]) -> list[str]:
    pairs = zip(options[::2], options[1::2], strict=True)
    return [part for pair in pairs if pair[0].removeprefix("--") in TAKEN_BY_PLAN for part in pair]


@st.cache_data(max_entries=16, show_spinner="Working out time and memory …")
def _plan(argv: tuple[str, ...]) -> dict[str, Any]:
    """What `iisan plan` says, in a process of its own: it imports torch and may wake CUDA, and the app does neither."""
    try:
        done = subprocess.run([*SHELL, *argv], capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise IisanError(f"the plan took longer than {PATIENCE} seconds; work it out in the shell instead") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise IisanError(said[-1].removeprefix("iisan: "))
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _draw_costs(plan: dict[str, Any]) -> None:
    for problem in plan["problems"]:
        st.warning(plain(problem), icon=":material/block:")
    machine, cost = plan["machine"], plan["training"]
    if plan["fits"]:
        st.success(f"It fits this machine: {plain(machine['name'])}.", icon=":material/check_circle:")
    boxes = [_extraction_cost(modality, encoder) for modality, encoder in plan["encoders"].items()]
    epoch = duration(cost["epoch_seconds"])
    boxes.append(("An epoch after that", epoch, f"{cost['parameters']:,} trainable parameters"))
    boxes.append(("Memory of the training", size(cost["memory_bytes"]), f"{size(machine['memory_free'])} are free"))
    facts(boxes)
    if plan["largest_text_encoder"]:
        st.caption(f"The largest text encoder by name that would fit: {plain(plan['largest_text_encoder'])}")


def _extraction_cost(modality: str, encoder: dict[str, Any]) -> tuple[str, str, str]:
    took = encoder["extraction"]
    download = f", {size(encoder['download_bytes'])} to download" if encoder["download_bytes"] else ""
    note = f"{took['how']}; {size(encoder['extraction_memory_bytes'])} of memory{download}"
    return f"Extracting {modality}", duration(took["seconds"]), note


def _start(workspace: Workspace, dataset: Dataset, chosen: dict[str, str], settings: dict[str, Any]) -> None:
    try:
        if {"text", "joint"} & chosen.keys() and not settings["text-field"]:
            raise RefusedError("no text column is chosen; choose at least one under More settings")
        start(_command(dataset, chosen, settings), workspace=workspace, device=settings["device"])
    except IisanError as error:
        show_fault(error)
        return
    st.rerun()


def _draw_jobs(workspace: Workspace) -> None:
    jobs = jobs_of(workspace, "extract")[:SHOWN_JOBS]
    if jobs:
        st.subheader("Extractions", anchor=False)
    for job in jobs:
        if job.status is None:
            st.warning(plain(job.problem), icon=":material/heart_broken:")
        else:
            watch(job.folder, key=f"extraction {job.folder.name}")
