"""Charts of studies."""

import polars as pl
import pytest

from app.charts.studies import scaling_chart, search_chart, study_chart

QUALITY = {"test_HR@10": [3.0, 2.0, 1.0], "test_HR@10_deviation": [0.1, None, 0.2]}


def test_rows_without_a_number_are_dots_in_the_tables_order() -> None:
    figure = study_chart(pl.DataFrame({"row": ["a", "b", "c"], **QUALITY}), title="Which?")
    (dots,) = figure.data
    assert list(dots.x) == [3.0, 2.0, 1.0]
    assert list(dots.error_x.array) == [0.1, 0.0, 0.2]
    assert list(figure.layout.yaxis.ticktext) == ["a", "b", "c"]
    assert figure.layout.yaxis.autorange == "reversed"
    assert figure.layout.xaxis.title.text == "test HR@10 × 100"


def test_rows_of_one_component_share_a_colour() -> None:
    table = pl.DataFrame({"row": ["a", "b", "c"], "component": ["layers", "cache", "layers"], **QUALITY})
    layers, cache = study_chart(table).data
    assert (layers.name, list(layers.x), list(layers.y)) == ("layers", [3.0, 1.0], [0, 2])
    assert (cache.name, list(cache.x), list(cache.y)) == ("cache", [2.0], [1])
    assert layers.marker.color != cache.marker.color


def test_a_varied_number_is_the_axis() -> None:
    figure = study_chart(pl.DataFrame({"row": ["a", "b", "c"], "inter_share": [1.0, 0.0, 0.5], **QUALITY}))
    (line,) = figure.data
    assert list(line.x) == [0.0, 0.5, 1.0]
    assert list(line.y) == [2.0, 1.0, 3.0]
    assert "width" in figure.layout.xaxis.title.text


def test_each_kind_of_damage_is_a_line_from_the_whole_states_on() -> None:
    table = pl.DataFrame(
        {
            "row": ["whole", "half", "both times"],
            "modality": [None, "text", "text"],
            "damage": [None, "dropped", "dropped"],
            "share": [0.0, 0.5, 0.5],
            "when": ["test, with dropout", "test, with dropout", "training and test"],
            **QUALITY,
        }
    )
    figure = study_chart(table)
    assert {line.name: list(line.y) for line in figure.data} == {
        "dropped, test, with dropout": [3.0, 2.0],
        "dropped, training and test": [3.0, 1.0],
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_title_no_room_for_one(theme) -> None:
    figure = study_chart(pl.DataFrame({"row": ["a", "b", "c"], **QUALITY}), theme=theme)
    assert figure.layout.title.text == ""


def test_scaling_is_a_map_of_encoder_sizes() -> None:
    table = pl.DataFrame(
        {
            "backbone_image": ["vit-l", "vit-s", "vit-s"],
            "backbone_text": ["bert", "bert", "mini"],
            "size_image": [9.0, 1.0, 1.0],
            "size_text": [5.0, 5.0, 2.0],
            **QUALITY,
        }
    )
    (heat,) = study_chart(table).data
    assert study_chart(table) == scaling_chart(table)
    assert (list(heat.y), list(heat.x)) == (["vit-s", "vit-l"], ["mini", "bert"])
    assert [list(row) for row in heat.z] == [[1.0, 2.0], [None, 3.0]]


def test_sizes_of_one_modality_are_a_line() -> None:
    sizes = {"backbone_image": ["vit"] * 3, "backbone_text": ["mini", "bert", "large"], "bytes_per_item": [1, 2, 3]}
    (line,) = study_chart(pl.DataFrame({"row": ["a", "b", "c"], **sizes, **QUALITY})).data
    assert (line.mode, list(line.x)) == ("lines+markers", [1, 2, 3])


def test_a_search_shows_its_trials_and_the_best_so_far() -> None:
    ended = ["whole", "given up", "whole", "diverged"]
    trials = pl.DataFrame({"trial": [2, 1, 0, 3], "ended": ended, "valid_HR@10": [9.0, 3.0, 5.0, None]})
    best, whole, given_up = search_chart(trials).data
    assert (list(best.x), list(best.y)) == ([0, 1, 2], [5.0, 5.0, 9.0])
    assert (list(whole.x), list(whole.y)) == ([0, 2], [5.0, 9.0])
    assert (list(given_up.x), list(given_up.y)) == ([1], [3.0])
