"""Items in pictures: all on a plane, where near means that the model takes them for alike, or some in a strip."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from app.charts.palette import SERIES, Theme, plain, styled
from iisan_core.data.dataset import Dataset
from iisan_core.data.pictures import as_rgb
from iisan_core.errors import RefusedError

MOST_KINDS = len(SERIES)

_OTHER = {"light": "#b4bcc8", "dark": "#56606f"}

HEIGHT = 620

SIDE = 160
"""Pixels of a picture in a strip."""

LINE_LENGTH, LINES = 22, 3
"""Of a caption."""


def item_map(
    points: pl.DataFrame, *, colour: str, marked: Collection[str] = (), title: str = "", theme: Theme = "light"
) -> go.Figure:
    """A point per item, to be hovered.

    points  `item_id`, `title` (null where there is none), `x`, `y`, and the column `colour`: numbers (shown on a
            logarithmic scale from 1) or kinds, of which the most frequent have colours of their own
    marked  item ids drawn larger, with a ring
    """
    figure = go.Figure()
    if points.schema[colour].is_numeric():
        _add_numbers(figure, points, colour)
    else:
        _add_kinds(figure, points, colour, theme)
    _add_marked(figure, points.filter(pl.col("item_id").is_in(list(marked))), theme)
    styled(figure, title=title, theme=theme)
    figure.update_layout(height=HEIGHT, margin={"l": 8, "r": 8, "b": 8, "t": 56}, legend={"itemsizing": "constant"})
    figure.update_xaxes(visible=False)
    return figure.update_yaxes(visible=False)


def project(vectors: NDArray[np.floating]) -> tuple[NDArray[np.float64], float]:
    """The first two principal components of `vectors`, [N, 2], and the share of the variance that they hold, 0 to 1.

    Exact, from the covariance in float64; the largest coordinate of each is positive, so equal vectors always give the
    same picture. Vectors that are all equal lie in one point, and one-dimensional ones on a line.

    vectors  [N, E], padding left out
    """
    centred = np.asarray(vectors, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    variances, axes = np.linalg.eigh(centred.T @ centred)  # ascending
    plane = centred @ axes[:, :-3:-1]  # [N, 2]
    if plane.shape[1] < 2:
        plane = np.column_stack([plane, np.zeros(len(plane))])
    furthest = plane[np.abs(plane).argmax(axis=0), [0, 1]]
    total = float(variances.sum())
    held = float(variances[-2:].sum()) / total if total > 0 else 0.0
    return plane * np.where(furthest < 0, -1.0, 1.0), held


def _add_numbers(figure: go.Figure, points: pl.DataFrame, colour: str) -> None:
    values = np.log10(points[colour].fill_null(0).clip(lower_bound=1).to_numpy())
    top = max(float(values.max(initial=0)), 1.0)
    ticks = list(range(int(top) + 1))
    marker = {
        "color": values,
        "colorscale": "Viridis",
        "cmin": 0,
        "cmax": top,
        "colorbar": {
            "title": {"text": colour},
            "tickvals": ticks,
            "ticktext": [f"{10**t:,}" for t in ticks],
            "len": 0.6,
        },
    }
    _add(figure, points, colour, marker, name="items", legend=False)


def _add_kinds(figure: go.Figure, points: pl.DataFrame, colour: str, theme: Theme) -> None:
    counted = points[colour].drop_nulls().value_counts(sort=True)
    kinds = counted[colour].head(MOST_KINDS).to_list()
    others = points.filter(~pl.col(colour).is_in(kinds) | pl.col(colour).is_null())
    if not others.is_empty():
        _add(figure, others, colour, {"color": _OTHER[theme]}, name="others" if kinds else "items")
    for kind, shade in zip(kinds, SERIES, strict=False):
        _add(figure, points.filter(pl.col(colour) == kind), colour, {"color": shade}, name=plain(str(kind))[:40])


def _add_marked(figure: go.Figure, points: pl.DataFrame, theme: Theme) -> None:
    if points.is_empty():
        return
    ink = {"light": "#1f2933", "dark": "#ffffff"}[theme]
    marker = {"size": 15, "color": "rgba(0,0,0,0)", "line": {"width": 3, "color": ink}}
    _add(figure, points, None, marker, name="marked")


def _add(
    figure: go.Figure,
    points: pl.DataFrame,
    colour: str | None,
    marker: dict[str, object],
    *,
    name: str,
    legend: bool = True,
) -> None:
    titles = [plain(t or i)[:80] for i, t in points.select("item_id", "title").iter_rows()]
    more = "" if colour is None else f"<br>{plain(colour)}: " + "%{customdata[1]}"
    shown = points[colour].to_list() if colour else [None] * points.height
    figure.add_scattergl(
        x=points["x"].to_numpy(),
        y=points["y"].to_numpy(),
        mode="markers",
        name=name,
        showlegend=legend,
        marker={"size": 6, "opacity": 0.8} | marker,
        text=titles,
        customdata=list(zip(points["item_id"].to_list(), shown, strict=True)),
        hovertemplate="%{text}" + more + "<extra></extra>",
    )


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
        small = as_rgb(image)
    small.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    small.save(stream, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _wrapped(caption: str) -> str:
    lines = textwrap.wrap(caption, LINE_LENGTH, max_lines=LINES, placeholder=" …")
    return "<br>".join(map(plain, lines))
