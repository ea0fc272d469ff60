"""Second tab: bring a new item, and see whom it suits and what is like it, without any training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from PIL import Image

from app.gradio_demo.answers import Run
from app.gradio_demo.markup import Card, cards, columns, heading, sentence
from app.gradio_demo.panel import panel
from app.gradio_demo.uploads import LONGEST_TITLE, answers_for, checked_title, opened, with_new_item
from app.gradio_demo.views import asked_view, similar_view, suited_view
from iisan_core.errors import IisanError, RefusedError

NOTHING_YET = "Bring a picture and a title and press the button, or click an example."
EXAMPLES = 6
ONE_AT_A_TIME: dict[str, Any] = {
    "concurrency_limit": 1,
    "concurrency_id": "backbones",
    "show_progress": "minimal",
    "api_visibility": "private",
}
"""Events that run backbones take turns; a page's events are no endpoints for programs."""


def upload() -> gr.Image:
    """A place for a picture, of which only the path is handed on.

    Gradio would open the file itself; it shall not be opened before `uploads.opened` has looked at it.
    """
    picture = gr.Image(label="Picture", sources=["upload", "clipboard"], height=280, elem_id="picture")
    # Of this one object: a subclass would have gradio write a file beside this one. No event may put out to it, for
    # gradio would then replace it by one of its own.
    picture.preprocess = lambda payload: None if payload is None else payload.path  # type: ignore[method-assign]
    return picture


class NewItemTab:
    """The tab's components and what they do; it keeps nothing."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = list(runs)
        dataset = self.runs[0].recommender.dataset
        self._paths = dict(zip(dataset.items["item_id"], dataset.image_paths(), strict=True))
        self.examples = self._some_examples()

    def build(self) -> None:
        """Lay the tab out, inside `gr.Blocks`."""
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                picture = upload()
                title = gr.Textbox(label="Title", elem_id="title", placeholder="what it is", lines=2)
                button = gr.Button("Whom does it suit?", variant="primary", elem_id="ask")
                examples = panel(self._examples_view(), label="Examples", elem_id="examples")
            with gr.Column(scale=8, min_width=320):
                answer = panel(sentence(NOTHING_YET), label="New item", elem_id="new-item")
        button.click(self.answer, [picture, title], answer, **ONE_AT_A_TIME)
        examples.pick(self._take_example, [], answer, **ONE_AT_A_TIME)

    def answer(self, path: str | None, title: str) -> str:
        """What every run says of a visitor's item, or the sentence that says why it cannot be taken."""
        try:
            name = checked_title(title or "")
            if path is None and not name:
                raise RefusedError("there is neither a picture nor a title; bring at least one of them")
            picture = opened(path) if path is not None else None
        except RefusedError as error:
            return sentence(_capital(str(error)), kind="refused")
        asked = asked_view(picture, name)
        return asked + columns([self._of_run(run, picture, name) for run in self.runs])

    def _of_run(self, run: Run, picture: Image.Image | None, title: str) -> str:
        try:
            similar, suited = answers_for(with_new_item(run, picture, title), run)
        except IisanError as error:
            return heading(run.name) + sentence(_capital(str(error)), kind="refused")
        return (
            heading("What is like it", f"by {run.name}, from its content alone")
            + similar_view(run.catalogue, similar)
            + heading("Whom it suits", "how high it would stand in their lists")
            + suited_view(run, suited)
        )

    def _examples_view(self) -> str:
        catalogue = self.runs[0].catalogue
        shown = [
            Card(str(number), title, catalogue.picture(item), action="example", hint="Take this example")
            for number, (item, title) in enumerate(self.examples)
        ]
        return heading("Examples", "click one") + cards(shown, layout="small", empty="There is no picture to take.")

    def _take_example(self, event: gr.EventData) -> str:
        number = str(getattr(event, "item", ""))
        if not number.isdecimal() or int(number) >= len(self.examples):
            return sentence("There is no such example.", kind="refused")
        item, title = self.examples[int(number)]
        return self.answer(str(self._paths[item]), title)

    def _some_examples(self) -> list[tuple[str, str]]:
        """Pictures of the catalogue under titles of other items: nothing that there is already."""
        catalogue = self.runs[0].catalogue
        some = [item for item in catalogue.search("", most=50) if catalogue.picture(item) is not None]
        titles = [catalogue.title(item)[:LONGEST_TITLE] for item in reversed(some)]
        return list(zip(some, titles, strict=True))[:EXAMPLES]


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")
