"""Runs: which one the page shows, and how it goes – how far, how well, how long still, and what can be done with it.

All of it is read from the run's folder, so that everybody sees the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import polars as pl
import streamlit as st

from app.charts.runs import epoch_table, loss_chart, quality_chart
from app.formats import capitalized, duration, plain, sentence, size
from app.jobs.listing import jobs_in, runs_in
from app.jobs.process import start_again, start_finish, stop_detached, stop_stages
from app.ui.layout import draw_charts, page_link, state_badge, theme
from app.ui.monitor import EVERY
from app.ui.train_form import LIKE, NEW, RUN
from iisan_core.errors import IisanError
from iisan_core.evaluation.lists import BEYOND
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.status import Status
from iisan_core.runs.workspace import Workspace

SILENCE_SECONDS = 15.0
"""A heart that has not beaten for so long is worth a word."""
RESUMABLE = ("stopped", "interrupted", "failed")
FAULT, NEW_LIKE = "action_fault", "new_like"
"""Keys: why an action was refused, and the run that a new one shall be made from."""


def follow_new_like(workspace: Workspace) -> None:
    """Go to the form with the settings of a run, if that was asked for; to be called before anything is chosen."""
    if not (name := st.session_state.pop(NEW_LIKE, "")):
        return
    st.session_state[RUN] = NEW
    st.query_params[LIKE] = name
    dataset = RunFolder(workspace.runs / name).config().dataset
    if (workspace.datasets / dataset.name).is_dir():
        st.session_state["dataset"] = dataset.name


def choose_run_or_new(workspace: Workspace) -> RunFolder | None:
    """The run to show, or none for the form; the choice stands in the address."""
    listed = {each.folder.name: each for each in runs_in(workspace)}
    row = st.container(horizontal=True, vertical_alignment="center")
    name = row.selectbox(
        "Run",
        [NEW, *listed],
        key=RUN,
        bind="query-params",
        label_visibility="collapsed",
        icon=":material/model_training:",
    )
    if name not in listed:
        st.fragment(_draw_at_work, run_every=2 * EVERY)(workspace)
        return None
    row.button(NEW, icon=":material/add:", on_click=_show_form)
    chosen = listed[str(name)]
    if chosen.problem or not isinstance(chosen.folder, RunFolder):
        raise IisanError(f"run {name} cannot be shown: {chosen.problem}")
    chosen.folder.config()  # of another version, it could be neither resumed nor copied: a sentence says so
    return chosen.folder


def _show_form() -> None:
    st.session_state[RUN] = NEW
    st.query_params.pop(LIKE, None)


def _draw_at_work(workspace: Workspace) -> None:
    """What is at work, or waits, at the moment."""
    for each in jobs_in(workspace):
        if each.status is None or not each.active:
            continue
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            state_badge(each.status.state)
            st.markdown(f"**{plain(each.folder.name)}**", width="content")
            st.caption(plain(each.status.message or _how_far(each.status)))


def _how_far(status: Status) -> str:
    if status.epochs:
        return f"epoch {status.epoch} of {status.epochs}"
    return f"{status.steps.doing}: {status.steps.done} of {status.steps.total}" if status.steps else ""


def training_monitor(run: RunFolder) -> None:
    """Draw a run; while it is active, the drawing renews itself."""
    active = run.status().active
    st.fragment(_draw, run_every=EVERY if active else None)(run, active)
    try:
        _draw_papers(run)
    except (IisanError, OSError) as error:
        st.error(plain(str(error)), icon=":material/error:")


def _draw(run: RunFolder, was_active: bool) -> None:
    try:
        status = run.status()
        if status.active != was_active:  # it has begun or ended meanwhile: renew the whole page, and the pace
            st.rerun(scope="app")
        table = epoch_table(run.events())
    except (IisanError, OSError) as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    _draw_state(run, status)
    _draw_actions(run, status)
    _draw_stages(run, status)
    _draw_figures(run, status, table)
    _draw_curves(run, table)
    if run.log.is_file():
        st.caption("Log")
        st.code("\n".join(run.log_tail(8)), language=None, wrap_lines=True)
    elif run.output.is_file() and (lines := run.log_tail(8, of=run.output)):
        st.caption("Output")
        st.code("\n".join(lines), language=None, wrap_lines=True)


def _draw_state(run: RunFolder, status: Status) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(plain(run.name), anchor=False, width="content")
        state_badge(status.state)
    if status.message:
        {"failed": st.error, "interrupted": st.warning}.get(status.state, st.info)(plain(capitalized(status.message)))
    silent = time.time() - status.heartbeat
    if status.active and silent > SILENCE_SECONDS:
        st.warning(
            f"No sign of life for {duration(silent)}: the machine is busy, or the process hangs. You can stop it."
        )


def _draw_actions(run: RunFolder, status: Status) -> None:
    """The buttons that make sense in this state."""
    with st.container(horizontal=True, vertical_alignment="center"):
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
        if st.button("New run from this run", icon=":material/content_copy:"):
            st.session_state[NEW_LIKE] = run.name
            st.rerun(scope="app")
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


def _draw_figures(run: RunFolder, status: Status, table: pl.DataFrame) -> None:
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


def _draw_lists(run: RunFolder) -> None:
    """What the lists of a finished run are like, each figure in plain words; nothing for runs of before."""
    figures = run.results().get("beyond", {})
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


def _draw_curves(run: RunFolder, table: pl.DataFrame) -> None:
    if not table.height:
        return
    curves = {run.name: table}
    charts = {
        f"loss of {run.name}": loss_chart(curves, title="Training loss", theme=theme()),
        f"quality of {run.name}": quality_chart(curves, title="Validation HR@10 (× 100)", theme=theme()),
    }
    draw_charts(charts, look={"height": 300}, gap="small")


def _draw_papers(run: RunFolder) -> None:
    """How it was started, with which settings, and what it printed."""
    with st.expander("Command and configuration", icon=":material/terminal:"):
        st.code(run.command(), language="bash", wrap_lines=True)
        config = run.path / "config.yaml"
        st.code(config.read_text(encoding="utf-8"), language="yaml", height=320)
    if run.output.is_file():
        with st.expander("Output of the process", icon=":material/article:"):
            st.code("\n".join(run.log_tail(60, of=run.output)) or "nothing yet", language=None, wrap_lines=True)
    if (run.path / "results.json").is_file():
        _draw_lists(run)
        with st.container(horizontal=True):
            page_link("recommendations")
            page_link("compare")
