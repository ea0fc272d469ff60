"""The Gradio demo: `python app/demo.py --run RUN`, or `iisan gradio RUN`. Inference only, for this machine only."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# Read by gradio when it is imported: no telemetry, no question for newer versions.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr
from gradio.events import api

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that the file runs without being installed

from app.gradio_demo.api import answer_in_words, recommend_endpoint, refuse_addresses
from app.gradio_demo.catalogue import Run
from app.gradio_demo.compose_tab import ComposeTab
from app.gradio_demo.markup import text
from app.gradio_demo.new_item_tab import NewItemTab
from app.gradio_demo.panel import PAGE_CSS, panel, theme
from app.pictures import MOST_BYTES
from iisan_core.errors import IisanError, RefusedError
from iisan_core.serving.recommender import Recommender

QUEUE = 64
"""Calls that may wait; more are told to come back."""
AT_ONCE = 4
SESSIONS = 1000
TITLE = "What would you like next?"


def build_demo(
    recommender: Recommender,
    *,
    other: Recommender | None = None,
    title: str = TITLE,
    names: tuple[str, str] = ("the first run", "the second run"),
) -> gr.Blocks:
    """The demo of a run, or of two side by side; start it with `launch`.

    Raises `RefusedError` if the two rank other items, or have one name.
    """
    pairs = zip(names, [recommender, other], strict=True)
    runs = [Run.of(name, one) for name, one in pairs if one is not None]
    _check_comparable(runs)
    with gr.Blocks(title=title, analytics_enabled=False, fill_width=True) as demo:
        panel(_head(runs, title), label="About")
        with gr.Tab("Compose a history"):
            ComposeTab(runs).build()
        with gr.Tab("Bring a new item"):
            NewItemTab(runs).build()
        api(recommend_endpoint(runs), api_name="recommend")
    refuse_addresses(demo)
    answer_in_words(demo)
    return demo.queue(max_size=QUEUE, default_concurrency_limit=AT_ONCE, api_open=False)


def launch(demo: gr.Blocks, *, host: str = "127.0.0.1", port: int | None = None, wait: bool = True) -> str:
    """Serve the demo and return its address; `wait` until interrupted. `host` 0.0.0.0 opens it to the network."""
    _, address, _ = demo.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        share=False,
        theme=theme(),
        css=PAGE_CSS,
        max_file_size=MOST_BYTES,
        state_session_capacity=SESSIONS,
        footer_links=["api"],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        quiet=True,
    )
    if wait:
        sys.stderr.write(f"the demo is at {address}; Ctrl-C ends it\n")
        demo.block_thread()
    return address


def demo_of(run: Path, *, other: Path | None = None, title: str = TITLE) -> gr.Blocks:
    """The demo of run folders, under their names."""
    paths = [run] if other is None else [run, other]
    first, *rest = [Recommender.load(path) for path in paths]
    same = len({path.resolve().name for path in paths}) < len(paths)
    names = [str(path) if same else path.resolve().name for path in paths]
    return build_demo(first, other=rest[0] if rest else None, title=title, names=(names[0], names[-1] if rest else ""))


def _check_comparable(runs: list[Run]) -> None:
    if len(runs) < 2:
        return
    first, second = (set(run.recommender.item_ids) for run in runs)
    if first != second:
        raise RefusedError(
            f"the runs rank different items ({len(first):,} and {len(second):,}, {len(first & second):,} of them in "
            "both); show two runs of one dataset and one catalogue"
        )
    if runs[0].name == runs[1].name:
        raise RefusedError(f"both runs are called {runs[0].name!r}; give them names of their own")


def _head(runs: list[Run], title: str) -> str:
    names = " and ".join(f"{run.name} ({', '.join(run.known_by)})" for run in runs)
    facts = f"{runs[0].recommender.dataset.name}: {len(runs[0].catalogue):,} items · recommended by {names}"
    return f'<div class="head"><h1>{text(title)}</h1><p>{text(facts)}</p></div>'


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a finished run folder")
    parser.add_argument("--run2", type=Path, help="another one of the same dataset, to stand beside it")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 opens it to the network")
    parser.add_argument("--port", type=int)
    asked = parser.parse_args()
    try:
        launch(demo_of(asked.run, other=asked.run2), host=asked.host, port=asked.port)
    except IisanError as error:
        sys.stderr.write(f"demo: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
