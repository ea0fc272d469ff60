"""What a job took of the machine while it went on: memory and load over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from app.charts.palette import SERIES, Theme, styled

MINUTE, HOUR = 60.0, 3600.0

MEMORY = {"memory_bytes": "the job", "gpu_bytes": "GPU, all that is on it"}
LOAD = {"load": "the job, of one core", "machine_load": "the machine", "gpu_load": "GPU"}
"""Field of a sample → what its line is called."""


def memory_chart(samples: Sequence[Mapping[str, Any]], *, title: str = "", theme: Theme = "light") -> go.Figure:
    """Memory in GB by time since the first sample; a GPU's where the samples have it."""
    return _chart(samples, MEMORY, unit="GB", scale=1e-9, title=title, theme=theme)


def load_chart(samples: Sequence[Mapping[str, Any]], *, title: str = "", theme: Theme = "light") -> go.Figure:
    """Load in per cent by time: of the job, where 200 are two cores, of the machine, and of a GPU."""
    return _chart(samples, LOAD, unit="%", scale=1.0, title=title, theme=theme)


def _chart(
    samples: Sequence[Mapping[str, Any]], lines: Mapping[str, str], *, unit: str, scale: float, title: str, theme: Theme
) -> go.Figure:
    figure = go.Figure()
    first = samples[0]["at"] if samples else 0.0
    span = samples[-1]["at"] - first if samples else 0.0
    word, seconds = ("hours", HOUR) if span > 3 * HOUR else ("minutes", MINUTE) if span > 3 * MINUTE else ("seconds", 1)
    for number, (field, name) in enumerate(lines.items()):
        known = [sample for sample in samples if field in sample]
        if known:
            figure.add_trace(
                go.Scatter(
                    x=[(sample["at"] - first) / seconds for sample in known],
                    y=[sample[field] * scale for sample in known],
                    name=name,
                    mode="lines",
                    line={"color": SERIES[number], "width": 2},
                    hovertemplate=f"%{{x:.1f}} {word}: %{{y:.3~g}} {unit}<extra>{name}</extra>",
                )
            )
    figure = styled(figure, title=title, theme=theme)
    figure.update_layout(showlegend=len(figure.data) > 1)
    figure.update_xaxes(title=f"{word} since the first sample", rangemode="tozero")
    return figure.update_yaxes(title=unit, rangemode="tozero")
