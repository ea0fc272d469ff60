"""A run as it goes: how far, how well, how long still, and what can be done with it.

All of it is read from the run's folder, so that everybody sees the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import polars as pl
import streamlit as st

from app.formats import capitalized, duration, plain, sentence, size
from app.jobs.process import start_again, start_finish, stop_detached, stop_stages
from app.ui.layout import page_link, state_badge
from iisan_core.errors import IisanError
from iisan_core.evaluation.lists import BEYOND
from iisan_core.runs.job_folder import JobFolder
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.status import Status

SILENCE_SECONDS = 15.0
"""A heart that has not beaten for so long is worth a word."""
RESUMABLE = ("stopped", "interrupted", "failed")
FAULT = "action_fault"
"""Key: why an action was refused."""


@contextmanager
def renewed(run: JobFolder, was_active: bool) -> Iterator[Status]:
    """Within a part of the page that renews itself: how the run stands; its faults are sentences.

    When it has begun or ended meanwhile, the whole page is drawn anew, and its pace changes.
    """
    try:
        status = run.status()
        if status.active != was_active:
            st.rerun(scope="app")
        yield status
    except (IisanError, OSError) as error:
        st.error(plain(str(error)), icon=":material/error:")


def draw_state(run: RunFolder, was_active: bool) -> None:
    """How a run stands, and the buttons that make sense in this state."""
    with renewed(run, was_active) as status:
        _draw_words(status)
        _draw_actions(run, status)
        _draw_stages(run, status)


def _draw_words(status: Status) -> None:
    if status.message:
        {"failed": st.error, "interrupted": st.warning}.get(status.state, st.info)(plain(capitalized(status.message)))
    silent = time.time() - status.heartbeat
    if status.active and silent > SILENCE_SECONDS:
        st.warning(
            f"No sign of life for {duration(silent)}: the machine is busy, or the process hangs. You can stop it."
        )


def _draw_actions(run: RunFolder, status: Status) -> None:
    """The state, and the buttons that make sense in it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        state_badge(status.state)
        if status.active:
            st.button(
                "Stop",
                icon=":material/stop_circle:",
                on_click=_tried,
                args=(stop_detached, run),
                disabled=bool(stop_stages(run)),
                help="The last finished epoch is kept; resume goes on from there.",
            )
        if status.state in RESUMABLE:
            st.button(
                "Resume",
                icon=":material/play_arrow:",
                type="primary",
                on_click=_tried,
                args=(start_again, run),
                help=f"Goes on after epoch {status.epoch}." if status.epoch else "Starts at the beginning.",
            )
        if status.state in RESUMABLE and (run.best / "model.safetensors").is_file():
            st.button(
                "Finish at best epoch",
                icon=":material/flag:",
                on_click=_tried,
                args=(start_finish, run),
                help="Measures it as it was at its best epoch, so that it can be compared and recommended from.",
            )
        page_link("train", label="New run from this run", like=run.name)
    if fault := st.session_state.pop(FAULT, ""):
        st.error(plain(fault), icon=":material/error:")


def _tried(act: Callable[[RunFolder], object], run: RunFolder) -> None:
    """Do something with a run; a refusal is shown at the buttons."""
    try:
        act(run)
    except (IisanError, OSError) as error:
        st.session_state[FAULT] = str(error)


def _draw_stages(run: RunFolder, status: Status) -> None:
    """How far the stopping of an active run has come."""
    stages = stop_stages(run) if status.active else []
    if not stages:
        return
    with st.container(border=True, gap="small"):
        st.markdown(":material/progress_activity: **Stopping …**")
        for stage in stages:
            st.markdown(f"{plain(capitalized(stage.sentence))} _({stage.seconds:.0f} s)_")


def draw_figures(run: RunFolder, status: Status, table: pl.DataFrame) -> None:
    """Numbers with what they mean; and how far it is with what it does at the moment."""
    best = table.row(int(table["HR@10"].arg_max() or 0), named=True) if table.height else None
    figures: list[tuple[str, str, str | None]] = [
        ("Epoch", f"{status.epoch} / {status.epochs}" if status.epochs else "–", "The most that it will take."),
        ("Best HR@10", *((f"{best['HR@10']:.2f}", f"Validation, epoch {best['epoch']}.") if best else ("–", None))),
        _time(status, table),
    ]
    if status.state == "finished":
        figures.insert(2, _test_figure(run))
    if status.memory_bytes:
        figures.append(("Memory", size(status.memory_bytes), "Of the process."))
    if status.gpu_memory_bytes:
        figures.append(("GPU memory", size(status.gpu_memory_bytes), "The most that was allocated."))
    if status.device:
        figures.append(("Device", status.device, None))
    with st.container(horizontal=True, gap="large"):
        for label, value, about in figures:
            st.metric(label, value, help=about, width="content")
    if status.active and status.steps:
        share = status.steps.done / max(1, status.steps.total)
        st.progress(share, text=plain(f"{status.steps.doing}: step {status.steps.done} of {status.steps.total}"))


def _test_figure(run: RunFolder) -> tuple[str, str, str | None]:
    try:
        test = run.results()["quality"]["test"]
        return "Test HR@10", f"{test['HR@10']:.2f}", f"At the best epoch; NDCG@10 {test['NDCG@10']:.2f}."
    except (IisanError, KeyError, TypeError) as error:  # damaged, or of another version: what is known is shown
        return "Test HR@10", "–", plain(f"{run.path / 'results.json'} cannot be read: {error}")


def draw_lists(run: RunFolder) -> None:
    """What the lists of a finished run are like, each figure in plain words; nothing for runs of before."""
    try:
        figures = run.results().get("beyond", {})
    except IisanError:  # named where the test figures stand
        return
    if not figures:
        return
    with st.expander("Beyond accuracy: what the test users' first ten items are like", icon=":material/category:"):
        for name, meaning in BEYOND.items():
            value = figures.get(name)
            said = "–" if value is None else f"{value:.2f}"
            st.markdown(f"**{name}** {said} · {sentence(meaning)}")


def _time(status: Status, table: pl.DataFrame) -> tuple[str, str, str]:
    """How long it will take still, or what an epoch took."""
    if not status.active:
        each = table["seconds"].median()
        return "An epoch", duration(float(each)) if each else "–", "Median time of training, without validation."  # type: ignore[arg-type]
    ends = table["at"].drop_nulls().tail(6)
    each = ends.diff().median()  # the median: one of them may hold a pause
    left = "–"
    if each is not None:
        begun = min(time.time() - ends[-1], each)
        left = duration(each * (status.epochs - status.epoch) - begun)  # type: ignore[operator]
    return "Time left", left, "At most: it stops earlier when it no longer gains."
