"""What leaves the Recommendations page: the list as a file, a link that shows the same again, the run as a demo."""

from __future__ import annotations

import io
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import polars as pl
import streamlit as st

from app.jobs.listing import Listed, glance
from app.jobs.process import start, stop_detached
from app.ui.cards import facts_of, title_of
from app.ui.layout import guarded, workspace
from app.ui.readers import RunFacts, dataset_of
from app.ui.recommenders import Answer
from iisan_core.errors import IisanError

EVERY = 2.0
"""Seconds between two looks whether the demo answers."""
LOCAL = "127.0.0.1"


def list_table(user: str, lists: Mapping[str, Sequence[Answer]], titles: Mapping[str, str]) -> pl.DataFrame:
    """Run → its list for a user, as rows: `run`, `user`, `rank`, `item_id`, `title`, `score`, and a column per part.

    `user` is empty for a history that somebody composed.
    """
    rows = [
        {
            "run": run,
            "user": user,
            "rank": rank,
            "item_id": answer.item_id,
            "title": titles.get(answer.item_id, ""),
            "score": answer.score,
            **{f"part {name}": value for name, value in answer.parts.items()},
        }
        for run, answers in lists.items()
        for rank, answer in enumerate(answers, start=1)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def draw_take_away(
    runs: Sequence[RunFacts], lists: Mapping[str, Sequence[Answer]], *, user: str, address: Mapping[str, object]
) -> None:
    """The row of buttons under the lists; `address` is what a link has to say so that it shows the same."""
    dataset = dataset_of(runs[0])
    items = [answer.item_id for found in lists.values() for answer in found]
    titles = {item_id: title_of(row, item_id) for item_id, row in facts_of(dataset, items).items()}
    table = list_table(user, lists, titles)
    stem = "-".join([*lists, user or "own-history"])
    with st.container(horizontal=True, vertical_alignment="center"):
        if not table.is_empty():
            st.download_button(
                "CSV", table.write_csv(), f"{stem}.csv", "text/csv", icon=":material/download:", on_click="ignore"
            )
            st.download_button(
                "Parquet", _parquet(table), f"{stem}.parquet", icon=":material/download:", on_click="ignore"
            )
        with st.popover("Link", icon=":material/link:"):
            st.caption("Shows the same again: run, user or composed history, view and number of items.")
            st.code(link_to(str(st.context.url or ""), address), language=None, wrap_lines=True)
        _draw_demo(runs)


def _parquet(table: pl.DataFrame) -> bytes:
    stream = io.BytesIO()
    table.write_parquet(stream)
    return stream.getvalue()


def link_to(page: str, address: Mapping[str, object]) -> str:
    """The address of a page with everything that decides what it shows; a list stands there value by value."""
    return f"{page.partition('?')[0]}?{urlencode({k: v for k, v in address.items() if v}, doseq=True)}"


def _draw_demo(runs: Sequence[RunFacts]) -> None:
    """A button that serves the runs as a Gradio demo; once it answers, the link to it."""
    at_work = _demo_of(runs)
    if at_work is None:
        if st.button("Open as demo", icon=":material/storefront:", help="Serves a Gradio page from this machine."):
            argv = ["gradio", *(str(run.run.path.absolute()) for run in runs[:1]), "--port", str(_free_port())]
            if len(runs) > 1:
                argv += ["--run2", str(runs[1].run.path.absolute())]
            start(argv, workspace=workspace(), device=None)
            st.rerun()
        return
    st.fragment(_draw_served, run_every=EVERY, key="served demo")(at_work)


def _draw_served(job: Listed) -> None:
    with guarded(workspace().root), st.container(horizontal=True, vertical_alignment="center", width="content"):
        if not job.folder.status().active:
            st.rerun()
        port = _port_of(job)
        if _answers(port):
            host = urlsplit(str(st.context.url or "")).hostname or LOCAL
            st.link_button("Go to the demo", f"http://{host}:{port}", icon=":material/open_in_new:", type="primary")
        else:
            st.caption(":material/progress_activity: The demo is starting …", width="content")
        if st.button("Stop the demo", icon=":material/stop_circle:", disabled=job.folder.stop_asked(), key="stop demo"):
            stop_detached(job.folder)
            st.rerun(scope="fragment")


def _demo_of(runs: Sequence[RunFacts]) -> Listed | None:
    wanted = [run.run.path.resolve() for run in runs[:2]]
    for job in glance(workspace()):
        if job.active and not job.is_run:
            try:
                argv = job.folder.card().argv
            except (IisanError, OSError):
                continue
            if argv[0] == "gradio" and [Path(word).resolve() for word in argv[1:] if "/" in word] == wanted:
                return job
    return None


def _port_of(job: Listed) -> int:
    argv = job.folder.card().argv
    return int(argv[argv.index("--port") + 1])


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((LOCAL, 0))
        return int(free.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as caller:
        caller.settimeout(0.3)
        return caller.connect_ex((LOCAL, port)) == 0
