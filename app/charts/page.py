"""A chart and its table as one HTML file that needs nothing else, no network either."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import plotly.graph_objects as go
import polars as pl

from app.charts.palette import Theme, colours_of
from iisan_core.files import write_text

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --line: #d5dae1; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --line: #3a4250; --paper: #14181f; } }
body { font: 15px/1.5 Inter, system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; }
table { border-collapse: collapse; } th, td { padding: .3rem .8rem; border-bottom: 1px solid var(--line); }
th { text-align: left; vertical-align: bottom; } .number { text-align: right; font-variant-numeric: tabular-nums; }
td { white-space: nowrap; }
.scroll { overflow-x: auto; margin-top: 1.5rem; }
"""

_SCRIPT = """
const dark = matchMedia("(prefers-color-scheme: dark)");
const colours = () => Plotly.relayout("{plot_id}", dark.matches ? %s : %s);
dark.addEventListener("change", colours);
if (dark.matches) colours();
"""

THEMES: tuple[Theme, Theme] = ("dark", "light")


def write_page(path: Path, figure: go.Figure, table: pl.DataFrame, *, title: str, notes: str = "") -> None:
    """Write figure, table and a sentence about them to `path`; light or dark as the reader's browser is.

    `figure` as `palette.styled` leaves it for a light page.
    """
    head = "".join(map(_heading, table.get_columns()))
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in table.iter_rows())
    script = _SCRIPT % tuple(json.dumps(colours_of(figure, theme)) for theme in THEMES)
    chart = figure.to_html(full_html=False, include_plotlyjs=True, config={"displaylogo": False}, post_script=script)
    write_text(
        path,
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{chart}"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f"<p>{escape(notes)}</p></body></html>\n",
    )


def _heading(column: pl.Series) -> str:
    kind = ' class="number"' if column.dtype.is_numeric() else ""
    return f"<th{kind}>{escape(column.name.replace('_', ' '))}</th>"


def _cell(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return f"<td>{ {True: 'yes', False: 'no', None: '–'}[value] }</td>"
    if isinstance(value, int | float):
        return f'<td class="number">{f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"}</td>'
    return f"<td>{escape(str(value))}</td>"
