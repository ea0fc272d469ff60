"""Second tab: bring a new item, and see whom it suits and what is like it, without any training."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr
from PIL import Image

from app.gradio_demo.answers import Run
from app.gradio_demo.markup import columns, heading, sentence
from app.gradio_demo.panel import panel
from app.gradio_demo.uploads import LONGEST_TITLE, MOST_BYTES, answers_for, checked_title, opened, with_new_item
from app.gradio_demo.views import similar_view, suited_view
from iisan_core.errors import IisanError, RefusedError

NOTHING_YET = "Bring a picture and a title, or take an example, and press the button."
EXAMPLES = 4


def upload() -> gr.Image:
    """A place for a picture, of which only the path is handed on.

    Gradio would open the file itself; it shall not be opened before `uploads.opened` has looked at it.
    """
    picture = gr.Image(label="Picture", sources=["upload", "clipboard"], height=280, elem_id="picture")
    picture.preprocess = lambda payload: None if payload is None else payload.path  # type: ignore[method-assign]
    return picture


class NewItemTab:
    """The tab's components and what they do; it keeps nothing."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = list(runs)

    def build(self) -> None:
        """Lay the tab out, inside `gr.Blocks`."""
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                picture = upload()
                title = gr.Textbox(label="Title", elem_id="title", placeholder="what it is", lines=2)
                button = gr.Button("Whom does it suit?", variant="primary", elem_id="ask")
                self._examples(picture, title)
            with gr.Column(scale=8, min_width=360):
                answer = panel(sentence(NOTHING_YET), label="New item", elem_id="new-item")
        button.click(
            self.answer,
            [picture, title],
            answer,
            concurrency_limit=1,
            concurrency_id="backbones",
            show_progress="minimal",
            api_visibility="private",
        )

    def answer(self, path: str | None, title: str) -> str:
        """What every run says of a visitor's item, or the sentence that says why it cannot be taken."""
        try:
            name = checked_title(title or "")
            if path is None and not name:
                raise RefusedError("there is neither a picture nor a title; bring at least one of them")
            picture = opened(path) if path is not None else None
        except RefusedError as error:
            return sentence(_capital(str(error)), kind="refused")
        return columns([self._of_run(run, picture, name) for run in self.runs])

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

    def _examples(self, picture: gr.Image, title: gr.Textbox) -> None:
        """Pictures of the catalogue under titles of other items: nothing that there is already."""
        dataset, catalogue = self.runs[0].recommender.dataset, self.runs[0].catalogue
        paths = dict(zip(dataset.items["item_id"], dataset.image_paths(), strict=True))
        some = catalogue.search("", most=50)
        shown = [path for item in some if (path := paths[item]) and path.is_file() and path.stat().st_size < MOST_BYTES]
        titles = [catalogue.title(item)[:LONGEST_TITLE] for item in reversed(some)]
        rows = [[str(path), name] for path, name in zip(shown, titles, strict=False)]
        if rows:
            gr.Examples(rows[:EXAMPLES], [picture, title], label="Examples", api_visibility="private")


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")
