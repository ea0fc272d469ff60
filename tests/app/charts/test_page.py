"""A chart and its table in a file: light or dark as its reader's browser is."""

import re
import shutil
from pathlib import Path

import polars as pl
import pytest

from app.charts.page import write_page
from app.charts.palette import colours_of
from app.charts.studies import study_chart

TABLE = pl.DataFrame({"row": ["a", "b"], "test_HR@10": [2.0, 1.0], "test_HR@10_deviation": [0.1, None]})


def test_a_drawn_chart_is_told_the_colours_of_every_axis() -> None:
    robust = pl.DataFrame(
        {
            "row": ["whole", "no text", "no picture"],
            "modality": [None, "text", "image"],
            "damage": [None, "dropped", "dropped"],
            "share": [0.0, 1.0, 1.0],
            "when": ["test"] * 3,
            "test_HR@10": [3.0, 2.0, 1.0],
            "test_HR@10_deviation": [0.1, 0.1, 0.1],
        }
    )
    light, dark = (study_chart(robust, theme=theme) for theme in ("light", "dark"))
    colours = colours_of(light, "dark")
    assert {"font.color", "xaxis.gridcolor", "xaxis2.gridcolor", "yaxis2.linecolor"} <= colours.keys()
    layout = dark.to_plotly_json()["layout"]
    for name, colour in colours.items():
        group, key = name.split(".")
        assert layout[group][key] == colour, name


@pytest.mark.browser
@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_ink_stands_out_from_paper(tmp_path: Path, scheme: str) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium here: neither chromium, chromium-browser nor google-chrome is on the path")
    path = tmp_path / "study.html"
    write_page(path, study_chart(TABLE), TABLE, title="Which?")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(color_scheme=scheme)
        faults: list[object] = []
        page.on("pageerror", lambda fault: faults.append(fault))
        page.goto(path.as_uri())
        paper = _brightness(page, "body", "backgroundColor")
        assert (paper < 0.2) if scheme == "dark" else (paper > 0.9)
        for words in ("h1", "td", ".xtick text"):
            ink = _brightness(page, words, "fill" if "text" in words else "color")
            assert abs(ink - paper) > 0.6, words
        assert faults == []
        browser.close()


def _brightness(page, selector: str, what: str) -> float:
    """Of an element's colour, from 0 (black) to 1."""
    page.wait_for_selector(selector)
    colour = page.evaluate(f"getComputedStyle(document.querySelector({selector!r})).{what}")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / (3 * 255)
