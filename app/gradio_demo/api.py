"""The endpoint for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from app.gradio_demo.answers import LONGEST_HISTORY, MOST_RECOMMENDED, Run
from app.gradio_demo.refusals import discreet
from iisan_core.errors import IisanError

Endpoint = Callable[[list[str], int, str], dict[str, Any]]


def recommend_endpoint(runs: Sequence[Run]) -> Endpoint:
    """The function behind `/recommend`."""
    by_name = {run.name: run for run in runs}

    def recommend(history: list[str], k: int = 10, run: str = runs[0].name) -> dict[str, Any]:
        """Recommend items that follow a history.

        Args:
            history: Item ids, oldest first; the newest 50 count.
            k: How many items, at most 24.
            run: Name of the run that answers, where the demo shows two.

        Returns:
            The run's name and `recommended`: a list of item_id, title, score, and parts (what each part of the score
            adds above the catalogue's mean), best first.
        """
        if run not in by_name:
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
