"""Charts of hidden states, batches and pictures."""

from pathlib import Path

import polars as pl
import pytest
import torch
from PIL import Image

from app.charts.items import item_strip, picture_strip
from app.charts.model import denominator_chart, probe_chart, similarity_chart
from iisan_core.errors import RefusedError


def test_a_probe_is_a_line_with_its_chance() -> None:
    table = pl.DataFrame({"layer": [0, 4], "accuracy": [0.5, 0.9], "chance": [0.25, 0.25]})
    figure = probe_chart({"motif": table, "material": table})
    assert [line.name for line in figure.data if line.showlegend is not False] == ["motif", "material"]
    assert list(figure.data[0].y) == [0.5, 0.9]
    assert list(figure.data[1].y) == [0.25, 0.25]
    assert list(figure.layout.xaxis.tickvals) == [0, 4]


def test_likeness_is_shown_in_numbers_first_layer_on_top() -> None:
    figure = similarity_chart(torch.tensor([[1.0, 0.25]]), ["layer 0"], ["layer 0", "layer 2"])
    assert figure.data[0].text[0][1] == "0.25"
    assert figure.layout.yaxis.autorange == "reversed"


def test_a_batch_shows_real_positions_only() -> None:
    weights = torch.tensor([[[0, 0], [1, 2]], [[1, 1], [2, 1]]])
    heat = denominator_chart(weights, ["Ann", "Bob"], ["mug", "lamp"]).data[0]
    assert list(heat.y) == ["Ann, position 2", "Bob, position 1", "Bob, position 2"]
    assert [list(row) for row in heat.z] == [[1, 2], [1, 1], [2, 1]]


def test_pictures_lie_within_the_figure_and_captions_are_no_markup(tmp_path: Path) -> None:
    picture = tmp_path / "p.png"
    Image.new("RGBA", (400, 300), (10, 200, 30, 255)).save(picture)
    figure = picture_strip([picture, None], ["a <b>bold</b> & long name " * 5, "bare"])
    assert len(figure.layout.images) == 1
    assert figure.layout.images[0].source.startswith("data:image/jpeg;base64,")
    assert str(tmp_path) not in figure.to_json()
    first, second = (note.text for note in figure.layout.annotations)
    assert first.startswith("a &lt;b&gt;bold&lt;/b&gt; &amp;")
    assert (first.count("<br>"), first.endswith("…"), second) == (2, True, "bare")


def test_each_picture_needs_a_caption(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        picture_strip([None, None], ["one"])


def test_items_of_a_dataset_by_their_ids(world) -> None:
    figure = item_strip(world.dataset, ["i00", "i07"])
    assert [note.text for note in figure.layout.annotations] == ["thing 0", "thing 7"]
    assert len(figure.layout.images) == 1, "the first item has no picture"
    with pytest.raises(RefusedError, match=r"no item 'stranger' in .*; item ids look like i00, i01, i02"):
        item_strip(world.dataset, ["i00", "stranger"])
