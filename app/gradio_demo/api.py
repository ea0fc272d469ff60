"""What a visitor's programs may ask of this machine: the endpoint for them, and that nothing is fetched for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from inspect import signature
from typing import Any

import gradio as gr

from app.formats import discreet
from app.gradio_demo.catalogue import LONGEST_HISTORY, MOST_RECOMMENDED, Run
from iisan_core.errors import IisanError

NOT_UNDERSTOOD = "This call cannot be answered: its values are not of the kinds that the page `Use via API` names."

Endpoint = Callable[[list[str], int, str], dict[str, Any]]


def recommend_endpoint(runs: Sequence[Run]) -> Endpoint:
    """The function behind `/recommend`."""
    by_name = {run.name: run for run in runs}

    def recommend(history: list[str], k: int = 10, run: str = runs[0].name) -> dict[str, Any]:
        """Recommend items that follow a history.

        Args:
            history: Item ids, oldest first; all of them are left out of the answer.
            k: How many items, at most 24.
            run: Name of the run that answers, where the demo shows two.

        Returns:
            The run's name and `recommended`: a list of item_id, title, score, and parts (what each part of the score
            adds above the catalogue's mean), best first.
        """
        if not isinstance(run, str) or run not in by_name:
            raise gr.Error(f"no run {run!r}; there is {', '.join(by_name)}", print_exception=False)
        if not isinstance(history, list) or not all(isinstance(item, str) for item in history):
            raise gr.Error("history is a list of item ids, oldest first", print_exception=False)
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= MOST_RECOMMENDED:
            raise gr.Error(f"k is {k!r}; choose 1 to {MOST_RECOMMENDED}", print_exception=False)
        try:
            answers = by_name[run].recommend(history[-LONGEST_HISTORY:], k=k)
        except IisanError as error:
            raise gr.Error(discreet(error), print_exception=False) from None
        catalogue = by_name[run].catalogue
        recommended = [
            {
                "item_id": why.item_id,
                "title": catalogue.title(why.item_id),
                "score": why.score,
                "parts": {part.name: part.above_mean for part in why.parts},
            }
            for why in answers
        ]
        return {"run": run, "recommended": recommended}

    return recommend


def refuse_addresses(demo: gr.Blocks) -> None:
    """Have every event of a demo refuse files that are addresses.

    Gradio would fetch them, of whatever size, before any function of ours is asked.
    """
    validate = demo.validate_inputs

    def refusing(block_fn: Any, inputs: list[Any]) -> None:
        if len(inputs) != len(block_fn.inputs):
            wanted = ", ".join(list(signature(block_fn.fn).parameters)[: len(block_fn.inputs)]) if block_fn.fn else ""
            raise gr.Error(
                f"data has {len(inputs)} values; {len(block_fn.inputs)} are asked for ({wanted})", print_exception=False
            )
        if any("://" in path for path in _paths(inputs)):
            raise gr.Error("Nothing is fetched from an address; upload the picture itself.", print_exception=False)
        validate(block_fn, inputs)

    demo.validate_inputs = refusing  # type: ignore[method-assign]


def answer_in_words(demo: gr.Blocks) -> None:
    """Have every event of a demo answer whatever it cannot be done with by a sentence; gradio would say nothing."""
    process = demo.process_api

    async def in_words(*given: Any, **named: Any) -> dict[str, Any]:
        try:
            return await process(*given, **named)
        except gr.Error:
            raise
        except Exception as error:  # what a call may hold, nobody foresees; it goes to the server's output, too
            raise gr.Error(NOT_UNDERSTOOD) from error

    demo.process_api = in_words  # type: ignore[method-assign]


def _paths(value: Any) -> Iterator[str]:
    """The paths of all files in what an event brings, however deep."""
    if isinstance(value, dict):
        path = value.get("path")
        if isinstance(path, str):
            yield path
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _paths(part)
