"""Second tab: bring a new item, and see whom it suits and what is like it, without any training.

What a visitor brings is looked at with suspicion, and answered with a sentence where it cannot be taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import gradio as gr
import polars as pl
from PIL import Image

from app.gradio_demo.catalogue import Run
from app.gradio_demo.markup import Card, cards, columns, heading, refusal, sentence
from app.gradio_demo.panel import into_view, panel
from app.gradio_demo.views import asked_view, similar_view, suited_view
from app.pictures import brought
from iisan_core.errors import IisanError, RefusedError
from iisan_core.serving.recommender import Recommender

NOTHING_YET = "Bring a new item and press the button, or click an example."
IDS_ALONE = (
    "Items are known here by their ids alone, so there is nothing to say about a new one. Show a run that reads texts "
    "or pictures."
)
EXAMPLES = 6
NEW = "your new item"
AUDIENCE = 1000
"""Users among whom those are sought whom a new item suits."""
LONGEST_TITLE = 300
CALLED = {"picture": {"image", "joint"}, "title": {"text", "joint"}}
"""What a visitor brings → the modalities that read it."""
ONE_AT_A_TIME: dict[str, Any] = {
    "concurrency_limit": 1,
    "concurrency_id": "backbones",
    "show_progress": "minimal",
    "api_visibility": "private",
}
"""Events that run backbones take turns; a page's events are no endpoints for programs."""


def upload(*, visible: bool = True) -> gr.Image:
    """A place for a picture, of which only the path is handed on.

    Gradio would open the file itself; it shall not be opened before `opened` has looked at it.
    """
    picture = gr.Image(label="Picture", sources=["upload", "clipboard"], height=280, elem_id="picture", visible=visible)
    # Of this one object: a subclass would have gradio write a file beside this one. No event may put out to it, for
    # gradio would then replace it by one of its own.
    picture.preprocess = lambda payload: None if payload is None else payload.path  # type: ignore[method-assign]
    return picture


class NewItemTab:
    """The tab's components and what they do; it keeps nothing."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = list(runs)
        self.catalogue = self.runs[0].catalogue
        self.reads = {name for run in self.runs for name in run.recommender.modalities}
        self.shows = bool(CALLED["picture"] & self.reads)
        """Whether pictures are read."""
        self.examples = self._some_examples()

    def build(self) -> None:
        """Lay the tab out, inside `gr.Blocks`."""
        if not self.reads:
            panel(sentence(IDS_ALONE, kind="refused"), label="New item", elem_id="new-item")
            return
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                picture = upload(visible=self.shows)
                title = gr.Textbox(label="Title", elem_id="title", placeholder="what it is", lines=2)
                button = gr.Button("Whom does it suit?", variant="primary", elem_id="ask")
                examples = panel(self._examples_view(), label="Examples", elem_id="examples")
            with gr.Column(scale=8, min_width=320):
                answer = panel(sentence(NOTHING_YET), label="New item", elem_id="new-item")
        for asked in (
            button.click(self.answer, [picture, title], answer, **ONE_AT_A_TIME),
            examples.pick(self._take_example, [], answer, **ONE_AT_A_TIME),
        ):
            asked.then(None, js=into_view("new-item"), api_visibility="private")

    def answer(self, path: str | None, title: str) -> str:
        """What every run says of a visitor's item, or the sentence that says why it cannot be taken."""
        try:
            name = checked_title(title or "")
            if path is None and not name:
                raise RefusedError("there is neither a picture nor a title; bring at least one of them")
            picture = opened(path) if path is not None else None
        except RefusedError as error:
            return refusal(error)
        asked = asked_view(picture, name)
        return asked + columns([self._of_run(run, picture, name) for run in self.runs])

    def _of_run(self, run: Run, picture: Image.Image | None, title: str) -> str:
        try:
            larger = with_new_item(run, picture, title)
            similar = larger.similar_items(NEW, k=min(8, len(run.catalogue)))
            users = run.catalogue.users(AUDIENCE)
            suited = larger.suited_users(NEW, k=min(6, len(users)), users=users) if users else []
        except IisanError as error:
            return heading(run.name) + refusal(error)
        given = (["picture"] if picture is not None else []) + (["title"] if title else [])
        known = " and ".join(name for name in given if CALLED[name] & {*run.recommender.modalities})
        return (
            heading("What is like it", f"by {run.name}, from its {known} alone")
            + similar_view(run.catalogue, similar)
            + heading("Whom it suits", f"its place in their lists of {len(run.catalogue) + 1:,} items")
            + suited_view(run, suited)
        )

    def _examples_view(self) -> str:
        shown = [
            Card(str(number), title, self._picture(item), action="example", hint="Take this example")
            for number, (item, title) in enumerate(self.examples)
        ]
        return heading("Examples", "click one") + cards(shown, layout="small", empty="There is none to take.")

    def _take_example(self, event: gr.EventData) -> str:
        number = str(getattr(event, "item", ""))
        if not number.isdecimal() or int(number) >= len(self.examples):
            return sentence("There is no such example.", kind="refused")
        item, title = self.examples[int(number)]
        path = self.catalogue.path(item) if self.shows else None
        return self.answer(None if path is None else str(path), title)

    def _some_examples(self) -> list[tuple[str, str]]:
        """Items that nobody has chosen yet; then pictures of some items under titles of others, none of which there is.

        Each is the id of the item that has the picture (if it has one that is read), and a title.
        """
        dataset = self.runs[0].recommender.dataset
        titles = {item: t[:LONGEST_TITLE] for item, t in dataset.items.select("item_id", "title").iter_rows() if t}
        chosen = set(dataset.interactions["item_id"].unique())
        unchosen = [(item, title) for item, title in titles.items() if item not in chosen]
        some = [item for item in self.catalogue.search("", most=50) if item in titles]
        mixed = zip(some, [titles[item] for item in reversed(some)], strict=True)
        shown = not self.shows
        wanted = ((item, title) for item, title in chain(unchosen, mixed) if shown or self._picture(item))
        return list(islice(wanted, EXAMPLES))

    def _picture(self, item: str) -> str | None:
        """An item's picture, where pictures are read at all."""
        return self.catalogue.picture(item) if self.shows else None


def opened(path: str) -> Image.Image:
    """A visitor's picture, decoded; raises `RefusedError` if it is too large, or none."""
    return brought(Path(path), size=Path(path).stat().st_size)


def checked_title(title: str) -> str:
    """The title without space around it; raises `RefusedError` if it is too long."""
    title = title.strip()
    if len(title) > LONGEST_TITLE:
        raise RefusedError(f"the title has {len(title):,} characters; {LONGEST_TITLE} are the most, shorten it")
    return title


def with_new_item(run: Run, picture: Image.Image | None, title: str) -> Recommender:
    """A recommender that has the visitor's item under the id `NEW`, too.

    Raises `RefusedError` where the run's model cannot take it.
    """
    item = pl.DataFrame({"item_id": [NEW], "title": [title or None]}, schema={"item_id": pl.String, "title": pl.String})
    images = {NEW: picture} if picture is not None and CALLED["picture"] & {*run.recommender.modalities} else {}
    try:
        return run.recommender.add_items(item, images=images)
    except RefusedError as error:
        beyond = [name for name in run.recommender.modalities if name not in CALLED["picture"] | CALLED["title"]]
        if not beyond:
            raise
        raise RefusedError(
            f"{error}; {' and '.join(beyond)} cannot be brought here, but from Python, to `Recommender.add_items`"
        ) from None
