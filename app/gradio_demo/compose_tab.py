"""First tab: compose a history, see what follows from it, and why."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.gradio_demo.catalogue import LONGEST_HISTORY, LONGEST_QUERY, Run, changed
from app.gradio_demo.markup import heading, refusal, sentence
from app.gradio_demo.panel import into_view, panel
from app.gradio_demo.views import history_view, recommended_view, search_view, why_view
from iisan_core.errors import IisanError
from iisan_core.serving.explanation import Explanation

FOUND = 24
FOUND_HEIGHT = 620
"""Pixels; more is scrolled to."""
RECOMMENDED = {1: 12, 2: 8}
"""How many each run recommends, by the number of runs."""
NO_HISTORY = "Recommendations appear here as soon as the history has an item."
NO_CHOICE = "Click a recommendation to see why it is there."
WHY_HINT = "click one to see why"

State = dict[str, Any]
"""A session's own: `history`, item ids oldest first; `chosen`, (run, item) of the reason shown, or None."""


def fresh() -> State:
    """A session at its start."""
    return {"history": [], "chosen": None}


class ComposeTab:
    """The tab's components and what they do; all that changes is in the session's state."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = list(runs)
        self.catalogue = runs[0].catalogue
        self.users = self.catalogue.users(40)
        self.examples = self._examples()
        self.start = self._show(fresh() | {"history": self.examples[0][1] if self.examples else []})

    def build(self) -> None:
        """Lay the tab out, inside `gr.Blocks`."""
        state = gr.State(self.start[0])
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=340):
                history, user, buttons, query, found = self._left()
            with gr.Column(scale=7, min_width=360 if len(self.runs) == 1 else 640):
                lists = self._lists()
                why = panel(self.start[-1], elem_id="why", label="Why")
        shown = [state, history, *lists, why]
        user.input(self._take_user, [user], shown, **QUIET)
        buttons[0].click(self._another_user, [], [user, *shown], **QUIET)
        buttons[1].click(self._clear, [], [user, *shown], **QUIET)
        for number, button in enumerate(buttons[2:]):
            button.click(self._example(number), [], [user, *shown], **QUIET)
        gr.on([query.change, query.submit], self._search, [query], found, trigger_mode="always_last", **QUIET)
        history.pick(self._pick, [state], [user, *shown], **QUIET)
        found.pick(self._pick, [state], [user, *shown], **QUIET)
        for number, cards in enumerate(lists):
            asked = cards.pick(self._ask_why(number), [state], shown, **QUIET)
            asked.then(None, js=into_view("why"), **QUIET)

    def _left(self) -> tuple[gr.HTML, gr.Dropdown, list[gr.Button], gr.Textbox, gr.HTML]:
        history = panel(self.start[1], elem_id="history", label="History")
        with gr.Row(elem_classes="begin"):
            another = gr.Button("Any user", elem_id="another", size="sm", min_width=70)
            examples = [gr.Button(name, size="sm", min_width=70) for name, _ in self.examples]
            clear = gr.Button("Clear", elem_id="clear", size="sm", min_width=60)
        user = gr.Dropdown(self.users, value=None, label="Sample users", elem_id="user")
        query = gr.Textbox(
            label="Search and click to add", placeholder="words of a title", elem_id="query", max_length=LONGEST_QUERY
        )
        found = panel(self._search(""), elem_id="found", label="Found", max_height=FOUND_HEIGHT)
        return history, user, [another, clear, *examples], query, found

    def _lists(self) -> list[gr.HTML]:
        with gr.Row(equal_height=False):
            lists = []
            for number, run in enumerate(self.runs):
                with gr.Column(min_width=300):
                    lists.append(panel(self.start[2 + number], elem_id=f"recommended-{number}", label=run.name))
        return lists

    def _show(self, state: State) -> list[Any]:
        """The state and all that follows from it."""
        history, chosen = state["history"], state["chosen"]
        answers, sentences = self._answers(history)
        ids = [{why.item_id for why in answer} for answer in answers]
        also = set.intersection(*ids) if len(ids) > 1 else set()
        lists = []
        for number, (run, answer, shown) in enumerate(zip(self.runs, answers, sentences, strict=True)):
            if answer:
                mine = chosen[1] if chosen and chosen[0] == number else None
                shown = recommended_view(run, answer, chosen=mine, also=also)
            lists.append(heading("Recommended" if len(self.runs) == 1 else run.name, WHY_HINT) + shown)
        return [state, history_view(self.catalogue, history), *lists, self._reason(answers, chosen)]

    def _answers(self, history: list[str]) -> tuple[list[list[Explanation]], list[str]]:
        """Each run's recommendations, and the sentence for a run that has none to give."""
        answers: list[list[Explanation]] = [[] for _ in self.runs]
        sentences = [sentence(NO_HISTORY) for _ in self.runs]
        for number, run in enumerate(self.runs if history else []):
            try:
                answers[number] = run.recommend(history, k=RECOMMENDED[len(self.runs)])
            except IisanError as error:
                sentences[number] = refusal(error)
        return answers, sentences

    def _reason(self, answers: list[list[Explanation]], chosen: tuple[int, str] | None) -> str:
        if chosen is not None:
            for why in answers[chosen[0]]:
                if why.item_id == chosen[1]:
                    return why_view(self.runs[chosen[0]], why)
        return sentence(NO_CHOICE)

    def _pick(self, state: State, event: gr.EventData) -> list[Any]:
        """A click in the history or among what was found; what comes from the page is not believed.

        The history is no longer a sample user's, so the name of none is shown.
        """
        item, action = str(getattr(event, "item", "")), str(getattr(event, "action", ""))
        if item not in self.catalogue:
            raise gr.Error("There is no such item.", print_exception=False)
        return [None, *self._show({"history": changed(state["history"], item, action), "chosen": None})]

    def _ask_why(self, number: int) -> Any:
        def ask(state: State, event: gr.EventData) -> list[Any]:
            return self._show(state | {"chosen": (number, str(getattr(event, "item", "")))})

        return ask

    def _take_user(self, user: str | None) -> list[Any]:
        if user not in self.users:
            return self._show(fresh())
        known = [item for item in self.runs[0].recommender.history(user) if item in self.catalogue]
        return self._show(fresh() | {"history": known[-LONGEST_HISTORY:]})

    def _another_user(self) -> list[Any]:
        if not self.users:  # the run came without its log
            return [None, *self._show(fresh())]
        user = random.choice(self.users)
        return [user, *self._take_user(user)]

    def _clear(self) -> list[Any]:
        return [None, *self._show(fresh())]

    def _example(self, number: int) -> Any:
        return lambda: [None, *self._show(fresh() | {"history": self.examples[number][1]})]

    def _search(self, query: str) -> str:
        return search_view(self.catalogue, self.catalogue.search(query, most=FOUND), query[:LONGEST_QUERY])

    def _examples(self) -> list[tuple[str, list[str]]]:
        """Short histories to begin with: the newest items of the first sample users."""
        histories = [self.runs[0].recommender.history(user) for user in self.users[:3]]
        kept = [[item for item in history if item in self.catalogue][-3:] for history in histories]
        return [(f"Example {n}", history) for n, history in enumerate(kept, start=1) if history]


QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""Events of the page are no endpoints for programs."""
