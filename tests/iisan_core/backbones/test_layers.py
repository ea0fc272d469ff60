import pytest

from iisan_core.backbones.layers import choose_layers
from iisan_core.errors import RefusedError


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("bert-large", [0, 4, 8, 12, 16, 20, 24]),
        ("7b", [0, 2, 8, 14, 20, 26, 32]),
        ("8b", [0, 2, 8, 14, 20, 26, 32]),
        ("56-layers", [0, 6, 16, 26, 36, 46, 56]),
        ("llama-3-70b", [0, 5, 20, 35, 50, 65, 80]),
        ("eva-clip-18b", [0, 3, 12, 21, 30, 39, 48]),
    ],
)
def test_group_of_seven_gives_the_published_lists(name: str, published: list[int]) -> None:
    assert choose_layers("group:7", published[-1]) == published
    assert choose_layers(f"paper:{name}", published[-1]) == published


def test_layer_drop_is_the_published_choice_of_the_base_models() -> None:
    assert choose_layers("paper:base", 12) == choose_layers("even", 12) == [0, 2, 4, 6, 8, 10, 12]


def test_words() -> None:
    assert choose_layers("all", 3) == [0, 1, 2, 3]
    assert choose_layers("even", 12) == [0, 2, 4, 6, 8, 10, 12]
    assert choose_layers("even", 5) == [0, 2, 4]
    assert choose_layers("group:7", 6) == choose_layers("all", 6)


@pytest.mark.parametrize("choice", ["0,3,-1", [0, 3, -1], "6, 0, 3"])
def test_explicit_layers_ascend(choice: str | list[int]) -> None:
    assert choose_layers(choice, 6) == [0, 3, 6]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ([7], "layer 7 does not exist: the encoder has layers 0 to 6"),
        ([-8], "layer -8 does not exist"),
        ([6, -1], "name layer 6 twice"),
        ([], "no layers are chosen"),
        ("odd", "layers 'odd' are not understood; allowed are `all`, `even`"),
        ("group:1", "k must be one whole number of at least 2"),
        ("group:2,3", "k must be one whole number of at least 2"),
        ("paper:gpt", "no published choice 'paper:gpt'; there are paper:base, paper:bert-large"),
        ("paper:8b", "of an encoder with 32 layers, this one has 6; `group:7`"),
        ("group:9", "a layer twice or below 0; choose another k"),
    ],
)
def test_refusals_say_what_is_allowed(choice: str | list[int], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        choose_layers(choice, 6)
