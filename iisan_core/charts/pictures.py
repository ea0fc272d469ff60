"""Items as a strip of pictures with their titles."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go
from PIL import Image

from iisan_core.charts.palette import Theme, styled
from iisan_core.dataset import Dataset
from iisan_core.errors import RefusedError

SIDE = 160
LINE_LENGTH, LINES = 22, 3


def picture_strip(
    pictures: Sequence[Path | None], captions: Sequence[str], *, title: str = "", theme: Theme = "light"
) -> go.Figure:
    """One picture beside the other, captions below; an item without a picture leaves its place empty."""
    figure = styled(go.Figure(), title=title, theme=theme)
    for place, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        if picture is not None:
            figure.add_layout_image(
                source=_inlined(picture), x=place, y=1, xref="x", yref="y", sizex=0.92, sizey=1, xanchor="center"
            )
        figure.add_annotation(
            x=place, y=-0.04, yanchor="top", text=_wrapped(caption), showarrow=False, font={"size": 11}
        )
    figure.update_xaxes(visible=False, range=[-0.5, max(4, len(pictures)) - 0.5])
    figure.update_yaxes(visible=False, range=[-0.55, 1])
    return figure.update_layout(height=280 if title else 230, margin={"l": 0, "r": 0, "b": 0, "t": 44 if title else 4})


def item_strip(dataset: Dataset, item_ids: Sequence[str], *, title: str = "", theme: Theme = "light") -> go.Figure:
    """Items of a dataset by their ids, in this order; raises `RefusedError` for one that it does not have."""
    shown = zip(dataset.image_paths(), dataset.items["title"], strict=True)
    known = dict(zip(dataset.items["item_id"], shown, strict=True))
    strangers = [item_id for item_id in item_ids if item_id not in known]
    if strangers:
        raise RefusedError(
            f"no item {strangers[0]!r} in {dataset.folder}; item ids look like {', '.join(list(known)[:3])}"
        )
    chosen = [known[item_id] for item_id in item_ids]
    captions = [caption or item_id for item_id, (_, caption) in zip(item_ids, chosen, strict=True)]
    return picture_strip([picture for picture, _ in chosen], captions, title=title, theme=theme)


def _inlined(picture: Path) -> str:
    """The picture, small, within the figure: a notebook then needs no file beside it."""
    with Image.open(picture) as image:
        small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    small.save(stream, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _wrapped(caption: str) -> str:
    """At most three lines; plotly takes some tags for markup, so what looks like one is shown as it is."""
    lines = textwrap.wrap(caption, LINE_LENGTH, max_lines=LINES, placeholder=" …")
    return "<br>".join(line.replace("&", "&amp;").replace("<", "&lt;") for line in lines)
