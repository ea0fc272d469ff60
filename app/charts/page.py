"""Charts and tables as one HTML file that needs nothing else, no network either; light or dark as its reader's browser.

`page.html` is the template; whatever stands in it is escaped, but for plotly's program and its charts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import plotly.graph_objects as go
import polars as pl
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from app.charts.palette import Theme, colours_of
from iisan_core.files import write_text

CONTROLS = {"responsive": True, "displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d"]}

THEMES: tuple[Theme, Theme] = ("dark", "light")

STANDING_OUT = ("error", "warning")
"""Words that have a colour where they are all that a cell says."""

LONG = 60
"""Characters from which a cell has several lines."""

SCRIPT = """
const dark = matchMedia("(prefers-color-scheme: dark)");
const colours = () => Plotly.relayout("{plot_id}", dark.matches ? %s : %s);
dark.addEventListener("change", colours);
if (dark.matches) colours();
"""


@dataclass(frozen=True)
class Table:
    """Column heads and rows of plain values; without rows it says that there is nothing."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    def kind(self, column: int) -> str | None:
        """How the head of a column stands: as its numbers do, where it has any."""
        return "number" if any(_kind(row[column]) == "number" for row in self.rows) else None


def write_page(path: Path, figure: go.Figure, table: pl.DataFrame, *, title: str, notes: str = "") -> None:
    """Write a chart, its table and a sentence about them to `path`; `figure` as `styled` leaves it for a light page."""
    shown = Table([name.replace("_", " ") for name in table.columns], table.rows())
    write_report(path, title=title, charts={"": figure}, tables={"": shown}, notes=notes)


def write_report(
    path: Path,
    *,
    title: str,
    charts: Mapping[str, go.Figure],
    tables: Mapping[str, Table],
    lead: str = "",
    notes: str = "",
) -> None:
    """Write charts, then tables, by their headings, to `path`, about 5 MB with plotly's program.

    `charts` as `palette.styled` leaves them for a light page, several of them two in a row; `lead` stands above them,
    `notes` at the end.
    """
    height = "340px" if len(charts) > 1 else "100%"
    drawn = {heading: _drawn(figure, height) for heading, figure in charts.items()}
    page = (
        _environment()
        .get_template("page.html")
        .render(title=title, lead=lead, charts=drawn, tables=tables, notes=notes, program=Markup(get_plotlyjs()))
    )
    write_text(path, page + "\n")


def _environment() -> Environment:
    folder = Path(__file__).parent
    environment = Environment(loader=FileSystemLoader(folder), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"kind": _kind, "shown": _shown}
    return environment


def _drawn(figure: go.Figure, height: str) -> Markup:
    script = SCRIPT % tuple(json.dumps(colours_of(figure, theme)) for theme in THEMES)
    return Markup(
        figure.to_html(
            full_html=False, include_plotlyjs=False, default_height=height, config=CONTROLS, post_script=script
        )
    )


def _kind(value: object) -> str | None:
    """The class of a cell, see the template's style; None for most."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    words = str(value)
    return words if words in STANDING_OUT else "long" if len(words) > LONG else None


def _shown(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
    return str(value)
