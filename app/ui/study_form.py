"""Start a study, the baselines among them, or a search: what it will take stands there before it starts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import streamlit as st

from app.charts.studies import search_chart
from app.formats import count, duration, plain, size
from app.jobs.process import start
from app.planning.study_cost import StudyCost, earlier_of, search_cost, study_cost
from app.ui.choices import choose_dataset
from app.ui.layout import draw_chart, empty_state, facts, page_link, theme
from app.ui.monitor import jobs_of, watch
from app.ui.readers import read_dataset, runs
from iisan_core.cache.manifest import CacheManifest
from iisan_core.config.presets import load_preset, preset_names
from iisan_core.config.schema import RunConfig
from iisan_core.errors import RefusedError
from iisan_core.experiments import designs
from iisan_core.experiments.study import Study
from iisan_core.experiments.tables import TABLE
from iisan_core.runs.workspace import Workspace, in_fusion_order

STUDIES = {
    "baselines": "What does IISAN gain over counting, ids alone and frozen features?",
    "ablation": "What does each part of the model add?",
    "layers": "Which of the cached layers are worth reading?",
    "balance": "How much of the width belongs between the modalities?",
    "robustness": "What do missing, swapped and noisy texts and pictures cost?",
    "scaling": "What do larger encoders buy? Needs caches of several backbones.",
    "asymmetric": "What does each component of a pair of unlike widths add?",
    "search": "Which values of the settings are best, by validation? Its winner becomes a preset.",
}
"""Study → the question that it answers."""
SPACES = {
    "rates": "learning rates and weight decay",
    "training": "rates, batch and what else decides how it is trained",
    "model": "widths, blocks, dropout and what else the model is made of",
    "all": "training and model together",
}
SHOWN_JOBS, TRIALS = 4, "trials.csv"
FAULT = "study_fault"


def study_form(workspace: Workspace) -> None:
    """The form, and the studies that go on or went."""
    folder = choose_dataset(workspace)
    if folder is None:
        return
    caches = workspace.complete_caches(read_dataset(folder))
    if not caches:
        empty_state(
            "No cached states yet",
            f"A study trains on hidden states, and {folder.name} has none. Pick backbones and extract.",
            icon=":material/inbox:",
            page="backbones",
            label="Pick backbones",
            dataset=folder.name,
        )
    else:
        _draw_form(workspace, folder, caches)
    _draw_jobs(workspace)


def _draw_form(workspace: Workspace, folder: Path, caches: Mapping[Path, CacheManifest]) -> None:
    left, middle, right = st.columns([2, 2, 1])
    name = str(left.selectbox("Study", list(STUDIES), key="study to start", persist_state="session"))
    names = preset_names()
    own = folder.name if folder.name in names else "default"
    preset = str(middle.selectbox("Preset", names, index=names.index(own), key=f"study preset of {folder.name}"))
    seeds = int(right.number_input("Seeds", 1, 20, 3, key="study seeds", help="Trainings of every configuration."))
    st.caption(STUDIES[name])
    chosen = _choose_caches(caches, every=name == "scaling")
    options, trials, minutes = _search_options() if name == "search" else ([], 0, None)
    if name == "asymmetric":
        options = ["--uncached-epochs", "0"]
    changes = st.text_input(
        "Changes to the preset", key="study changes", placeholder="training.epochs=20 model.bottleneck=32",
        help="As `--set` takes them, with spaces between.",
    ).split()  # fmt: skip
    try:
        base = load_preset(preset).config(dataset=folder, caches=_one_each(chosen), settings=changes)
        earlier = earlier_of([run.results for run in runs(workspace) if run.dataset == folder.name and run.results])
        if name == "search":
            cost = search_cost(base, trials, range(seeds), earlier, minutes=minutes)
        else:
            cost = study_cost(_grid(name, base, chosen), range(seeds), earlier)
    except RefusedError as error:
        st.warning(plain(str(error)), icon=":material/rule:")
        return
    _draw_cost(cost)
    argv = ["study", name, str(folder), "--preset", preset, "--seeds", str(seeds)]
    argv += [part for cache in chosen for part in ("--cache", str(cache))]
    argv += [part for change in changes for part in ("--set", change)] + options
    _draw_start(workspace, argv)


def _choose_caches(caches: Mapping[Path, CacheManifest], *, every: bool) -> dict[Path, CacheManifest]:
    """One cache per modality, or all that compete."""
    by_modality: dict[str, list[Path]] = {}
    for cache, manifest in caches.items():
        by_modality.setdefault(manifest.modality, []).append(cache)
    first = list(caches) if every else [found[0] for found in by_modality.values()]
    if len(by_modality) == len(caches):
        return {cache: caches[cache] for cache in first}
    chosen = st.multiselect(
        "Caches", list(caches), default=first, key=f"study caches, {every}",
        format_func=lambda cache: f"{caches[cache].modality}: {cache.name}",
    )  # fmt: skip
    return {cache: caches[cache] for cache in chosen}


def _one_each(chosen: Mapping[Path, CacheManifest]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for cache, manifest in chosen.items():
        found.setdefault(manifest.modality, cache)
    return in_fusion_order(found)


def _grid(name: str, base: RunConfig, chosen: Mapping[Path, CacheManifest]) -> Study:
    if name == "scaling":
        competing: dict[str, list[Path]] = {}
        for cache, manifest in chosen.items():
            competing.setdefault(manifest.modality, []).append(cache)
        return designs.scaling(base, competing)
    if name == "asymmetric":
        return designs.asymmetric(base, uncached_epochs=0)
    return designs.STUDIES[name](base)


def _search_options() -> tuple[list[str], int, float | None]:
    """What only a search has: as options, and the two limits."""
    left, middle, right, last = st.columns([2, 1, 1, 2])
    space = str(
        left.selectbox("May change", list(SPACES), key="search space", format_func=lambda s: f"{s}: {SPACES[s]}")
    )
    trials = int(middle.number_input("Trials at most", 1, 500, 30, key="search trials"))
    minutes = right.number_input("Minutes at most", 0.0, value=None, key="search minutes", placeholder="no limit")
    name = last.text_input("Name of the winner's preset", key="search name", placeholder="of the dataset").strip()
    options = ["--space", space, "--trials", str(trials)]
    options += ["--minutes", f"{minutes:g}"] if minutes else []
    return options + (["--save-as", name] if name else []), trials, minutes or None


def _draw_cost(cost: StudyCost) -> None:
    known = cost.seconds is not None
    took = duration(cost.seconds) if cost.seconds is not None else "not known"
    note = (
        f"as {count(cost.measured_on, 'run')} on this dataset took for an epoch"
        if known
        else "no run on this dataset has finished yet"
    )
    facts(
        [
            ("Trainings", f"{cost.trainings:,}", f"{count(cost.configurations, 'configuration')}, one after another"),
            ("Time, at most about", took, note),
            ("Memory", size(cost.memory_bytes) if cost.memory_bytes else "not known", "the most that one took so far"),
        ]
    )
    if cost.uncached:
        st.warning(
            f"{count(cost.uncached, 'training')} without a cache will take far longer.", icon=":material/schedule:"
        )


def _draw_start(workspace: Workspace, argv: Sequence[str]) -> None:
    with st.expander("The same in the shell", icon=":material/terminal:"):
        st.code(shlex.join(["iisan", *argv]), language="bash", wrap_lines=True)
    if fault := st.session_state.pop(FAULT, ""):
        st.error(plain(fault), icon=":material/error:")
    st.button(
        "Start the study", type="primary", icon=":material/play_arrow:", on_click=_start, args=(workspace, list(argv))
    )
    st.caption("It waits for its turn on the device, and goes on without this page; what is done is never done twice.")


def _start(workspace: Workspace, argv: list[str]) -> None:
    try:
        start(argv, workspace=workspace, device="auto")
    except (RefusedError, OSError) as error:
        st.session_state[FAULT] = str(error)


def _draw_jobs(workspace: Workspace) -> None:
    jobs = jobs_of(workspace, "study")[:SHOWN_JOBS]
    if not jobs:
        return
    st.subheader("Studies", anchor=False)
    for job in jobs:
        watch(job.folder, key=f"study {job.folder.name}")
        name, dataset = (Path(word).name for word in job.folder.card().argv[1:3])
        result = workspace.runs / f"{name}-{dataset}"
        if name == "search" and (result / TRIALS).is_file():
            with st.expander("Trials so far", icon=":material/query_stats:", expanded=job.active):
                chart = search_chart(pl.read_csv(result / TRIALS), theme=theme())
                draw_chart(chart, key=f"trials of {job.folder.name}")
        if (result / TABLE).is_file():
            page_link("compare", label=f"Read {plain(result.name)}", view="Studies", study=result.name)
