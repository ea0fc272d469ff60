import math

import polars as pl
import pytest

from app.charts.page import write_page
from app.charts.runs import LARGEST, SMALLEST, efficiency_figure
from iisan_core.errors import RefusedError

TABLE = pl.DataFrame(
    {
        "method": ["cached", "full"],
        "seconds_per_epoch": [2.0, 400.0],
        "peak_memory_bytes": [500_000_000, 9_000_000_000],
        "trainable_parameters": [4_000_000, 196_000_000],
        "test_HR@10": [7.5, None],
        "tpme": [0.0, 1.0],
        "extrapolated": [False, True],
    }
)


def test_a_bubble_per_method_at_its_cost():
    cached, full = efficiency_figure(TABLE).data
    assert (cached.x[0], cached.y[0], cached.text[0]) == (2.0, 0.5, "cached")
    assert (full.x[0], full.y[0]) == (400.0, 9.0)
    assert full.marker.size == LARGEST
    assert cached.marker.size == max(SMALLEST, LARGEST * math.sqrt(4 / 196))
    assert "HR@10 7.50" in cached.hovertext[0]
    assert "extrapolated" in full.hovertext[0] and "HR@10" not in full.hovertext[0]


def test_axes_are_logarithmic_and_hold_every_bubble():
    layout = efficiency_figure(TABLE, theme="dark").layout
    assert (layout.xaxis.type, layout.yaxis.type) == ("log", "log")
    assert layout.xaxis.range[0] < math.log10(2) < math.log10(400) < layout.xaxis.range[1]


def test_methods_without_a_figure_are_left_out():
    gap = TABLE.with_columns(peak_memory_bytes=pl.Series([None, 9_000_000_000]))
    assert [trace.name for trace in efficiency_figure(gap).data] == ["full"]


def test_a_table_without_costs_is_refused():
    with pytest.raises(RefusedError, match="'peak_memory_bytes' is missing"):
        efficiency_figure(TABLE.drop("peak_memory_bytes"))
    with pytest.raises(RefusedError, match="at least one method"):
        efficiency_figure(TABLE.clear())


def test_the_page_needs_nothing_else(tmp_path):
    path = tmp_path / "methods.html"
    write_page(path, efficiency_figure(TABLE), TABLE, title="Costs & gains", notes="Set: cached, full <all>.")
    text = path.read_text(encoding="utf-8")
    assert "<h1>Costs &amp; gains</h1>" in text and "cached, full &lt;all&gt;." in text
    assert '<td class="number">196,000,000</td>' in text and "<td>–</td>" in text
    assert 'src="http' not in text
