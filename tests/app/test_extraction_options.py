"""The settings of a cache as options: what is written for the shell is what the shell reads."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from app.commands.options import from_fields
from app.extraction_options import PLANNED, arguments_of
from iisan_core.cache.manifest import CacheSettings
from iisan_core.errors import RefusedError

CHANGED = CacheSettings(
    modality="caption", layers=(0, 2, -1), pooling="mean", dtype="float32", text_fields=("title", "caption"),
    max_tokens=20, image_size=128, frames=4, max_seconds=9,
)  # fmt: skip


def read(*arguments: str) -> CacheSettings:
    """What a verb gets for these arguments."""
    found = []

    @from_fields(CacheSettings, argument="settings", where="these settings")
    def verb(*, settings: CacheSettings) -> None:
        found.append(settings)

    shell = typer.Typer()
    shell.command()(verb)
    done = CliRunner().invoke(shell, arguments)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return found[0]


@pytest.mark.parametrize("settings", [CacheSettings(), CacheSettings(layers="group:7"), CHANGED])
def test_what_is_written_is_what_is_read(settings: CacheSettings) -> None:
    found = read(*arguments_of(settings))
    layers = settings.layers if isinstance(settings.layers, str) else ",".join(map(str, settings.layers))
    assert found == settings.model_copy(update={"layers": layers})


def test_defaults_go_without_saying() -> None:
    assert arguments_of(CacheSettings()) == []
    assert arguments_of(CacheSettings(text_fields=("a", "b"))) == ["--text-field", "a", "--text-field", "b"]


def test_a_plan_is_not_told_the_name() -> None:
    told = arguments_of(CHANGED, fields=PLANNED)
    assert "--as" not in told
    assert {"--layers", "--dtype", "--frames", "--pooling"} < set(told)


def test_what_the_model_refuses_is_refused_with_its_place() -> None:
    with pytest.raises(RefusedError, match=r"these settings cannot be used:\n  modality: "):
        read("--as", "Not A Name")
