"""The shared look."""

import plotly.graph_objects as go
import pytest

from app.charts.palette import SERIES, TOWERS, Theme, styled, tower_colour


def luminance(colour: str) -> float:
    """Relative luminance, by the Web Content Accessibility Guidelines 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("theme", "page"), [("light", "#ffffff"), ("dark", "#0e1117")])
def test_text_can_be_read_on_its_page(theme: Theme, page: str) -> None:
    ink = styled(go.Figure(), theme=theme).layout.font.color
    dark, light = sorted([luminance(ink), luminance(page)])
    assert (light + 0.05) / (dark + 0.05) > 7  # level AAA


def test_a_further_modality_has_a_colour_of_its_own_kind() -> None:
    assert tower_colour("text") == TOWERS["text"]
    assert tower_colour("caption") in SERIES


def test_the_title_is_kept() -> None:
    assert styled(go.Figure(), title="Loss").layout.title.text == "Loss"
