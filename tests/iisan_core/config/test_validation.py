import pytest
from pydantic import ValidationError

from iisan_core.config.schema import Strict, validated
from iisan_core.errors import IisanError, RefusedError


class Inner(Strict):
    size: int


class Outer(Strict):
    name: str
    inner: Inner


def test_values_become_the_model():
    assert validated(Outer, {"name": "x", "inner": {"size": 3}}, where="here") == Outer(name="x", inner=Inner(size=3))


def test_every_fault_has_its_place_and_value():
    with pytest.raises(RefusedError) as caught:
        validated(Outer, {"inner": {"size": "many", "colour": 1}, "extra": 2}, where="the file")
    assert str(caught.value).splitlines() == [
        "the file cannot be used:",
        "  name: Field required (found {'inner': {'size': 'many', 'colour': 1}, 'extra': 2})",
        "  inner.size: Input should be a valid integer, unable to parse string as an integer (found 'many')",
        "  inner.colour: unknown key; remove it or correct its spelling",
        "  extra: unknown key; remove it or correct its spelling",
    ]


def test_long_values_are_cut():
    with pytest.raises(RefusedError) as caught:
        validated(Inner, {"size": "x" * 1000}, where="here")
    assert len(str(caught.value)) < 300


def test_records_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Inner(size=1).size = 2  # type: ignore[misc]


def test_exit_codes_tell_failed_from_refused():
    assert (IisanError.exit_code, RefusedError.exit_code) == (1, 2)
    assert issubclass(RefusedError, IisanError)
