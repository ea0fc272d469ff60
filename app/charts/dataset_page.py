"""Statistics, checks and charts of a dataset as one HTML file that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from app.charts.dataset import coverage_chart, length_chart, lorenz_chart, popularity_chart, time_chart
from data_tools.checks import check
from data_tools.statistics import coverage, interactions_over_time, popularity_curve, sequence_lengths, statistics
from data_tools.times import has_times
from iisan_core.data.dataset import Dataset
from iisan_core.files import write_text

STYLE = """
body { font: 15px/1.5 Inter, system-ui, -apple-system, "Segoe UI", sans-serif; color: #1f2933; background: #fff;
  max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; } td, th { padding: .25rem .9rem .25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid #d5dae1 } td.number { text-align: right; font-variant-numeric: tabular-nums }
.charts { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1rem }
@media (max-width: 760px) { .charts { grid-template-columns: minmax(0, 1fr) } }
.error { color: #b3261e; font-weight: 600 } .warning { color: #8a5a00; font-weight: 600 }
"""

CONTROLS = {"responsive": True, "displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d"]}


def statistics_charts(dataset: Dataset) -> dict[str, go.Figure]:
    """Every chart of a dataset by its heading; interactions over time only where times are known."""
    curve = popularity_curve(dataset)
    charts = {
        "Length of histories": length_chart(sequence_lengths(dataset)),
        "Popularity of items": popularity_chart(curve),
        "Concentration": lorenz_chart(curve),
        "Coverage": coverage_chart(coverage(dataset)),
    }
    if has_times(dataset.interactions):
        charts["Interactions over time"] = time_chart(interactions_over_time(dataset))
    return charts


def write_statistics_page(dataset: Dataset, path: Path) -> None:
    """Write the page, plotly's program included (about 5 MB), so that it opens anywhere, offline."""
    facts = statistics(dataset).as_dict()
    rows = [(name.replace("_", " "), _number(value)) for name, value in facts.items()]
    findings = [(f.severity, f"{f.count:,}", f.what, f.remedy) for f in check(dataset)]
    lost = [(name.replace("_", " "), f"{n:,}") for name, n in dataset.card.dropped.items() if n]
    body = [
        f"<h1>{html.escape(dataset.name)}</h1><p>{html.escape(dataset.card.source)}</p>",
        *_charts(statistics_charts(dataset)),
        "<h2>What should be known before training</h2>",
        *(_table(("", "count", "finding", "what to do"), findings, numbers=(1,)) if findings else ["<p>Nothing.</p>"]),
        "<h2>Counts</h2>",
        *_table(("fact", "value"), rows, numbers=(1,)),
        "<h2>Dropped on import</h2>",
        *(_table(("reason", "rows"), lost, numbers=(1,)) if lost else ["<p>Nothing.</p>"]),
    ]
    write_text(path, _page(dataset.name, body))


def _page(title: str, body: Iterable[str]) -> str:
    head = f"<meta charset='utf-8'><title>{html.escape(title)}</title><style>{STYLE}</style>"
    script = f"<script>{get_plotlyjs()}</script>"
    return f"<!doctype html><html lang='en'><head>{head}{script}</head><body>{''.join(body)}</body></html>\n"


def _charts(charts: dict[str, go.Figure]) -> Iterator[str]:
    yield "<div class='charts'>"
    for heading, figure in charts.items():
        drawn = figure.to_html(full_html=False, include_plotlyjs=False, default_height="340px", config=CONTROLS)
        yield f"<section><h2>{heading}</h2>{drawn}</section>"
    yield "</div>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int]) -> Iterator[str]:
    yield "<table><tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>"
    for row in rows:
        cells = (f"<td class='{_kind(cell, n in numbers)}'>{html.escape(cell)}</td>" for n, cell in enumerate(row))
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</table>"


def _kind(cell: str, is_number: bool) -> str:
    if is_number:
        return "number"
    return cell if cell in ("error", "warning") else "text"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
