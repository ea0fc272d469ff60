"""Presets: named configurations that are data, each saying what was measured with it; ours, and a workspace's own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from iisan_core.config.places import default_root
from iisan_core.config.schema import (
    BaselineConfig,
    ModelConfig,
    ProtocolConfig,
    RunConfig,
    Strict,
    TrainingConfig,
    parse_yaml,
    read_yaml,
    validated,
)
from iisan_core.errors import RefusedError
from iisan_core.files import write_text

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Preset(Strict):
    """One YAML file of this folder, or of the workspace's."""

    description: str
    measured: str
    """What was measured with it, or that nothing could be."""
    modalities: list[str] | None = None
    """What it reads; unset: all that the dataset has caches of."""
    protocol: ProtocolConfig = ProtocolConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    baseline: BaselineConfig | None = None

    def config(
        self, *, dataset: str | Path, caches: Mapping[str, str | Path], settings: Sequence[str] = ()
    ) -> RunConfig:
        """A run of this preset on a dataset and its caches (modality → folder, in fusion order).

        `settings` such as `training.epochs=5` are laid over. Raises `RefusedError` naming every fault.
        """
        values: dict[str, Any] = self.model_dump(mode="json", include={"protocol", "model", "training", "baseline"})
        values |= {"dataset": str(dataset), "caches": {name: str(folder) for name, folder in caches.items()}}
        return validated(RunConfig, with_settings(values, settings), where="the preset with its settings")


def preset_names() -> list[str]:
    """All presets: ours, sorted, then the workspace's own."""
    return [*_our_names(), *(name for name in _own_names() if name not in _our_names())]


def own_presets() -> Path:
    """The folder of presets of one's own, in the workspace."""
    return default_root() / "presets"


def _our_names() -> list[str]:
    files = resources.files(__package__).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def _own_names() -> list[str]:
    return sorted(file.stem for file in own_presets().glob("*.yaml") if NAME.fullmatch(file.stem))


def load_preset(name: str) -> Preset:
    """A preset: a named configuration, to be completed by a dataset and its caches.

    Args:
        name: such as `default`, `text` or `paper-amazon`, or of a file in the workspace's folder `presets`.

    Returns:
        The preset, with a description and what was measured with it.

    Raises:
        RefusedError: there is no such preset, naming those that there are; or one's own has faults, naming them.

    Example:
        >>> preset = load_preset("text")
        >>> preset.config(dataset="shop", caches={"text": "caches/text"}, settings=["training.seed=1"]).training.seed
        1
    """
    if name in _our_names():
        text = (resources.files(__package__) / f"{name}.yaml").read_text(encoding="utf-8")
        return validated(Preset, parse_yaml(text), where=f"preset {name}")
    if name not in _own_names():
        raise RefusedError(f"no preset {name!r}; there are {', '.join(preset_names())}")
    file = own_preset_file(name)
    return validated(Preset, read_yaml(file), where=str(file))


def save_preset(name: str, preset: Preset) -> Path:
    """Write a preset of one's own, which is then offered like ours; returns its file.

    Raises `RefusedError` for a name that it cannot have.
    """
    file, values = own_preset_file(name), preset.model_dump(mode="json", exclude_none=True)
    write_text(file, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
    return file


def own_preset_file(name: str) -> Path:
    """Where a preset of one's own lies; raises `RefusedError` for a name that one of ours has, or that is none."""
    if not NAME.fullmatch(name):
        raise RefusedError(
            f"{name!r} cannot name a preset; use up to 64 small letters, digits, dots, dashes and underscores, the "
            "first a letter or digit"
        )
    if name in _our_names():
        raise RefusedError(f"{name} is one of the presets that come with the program; choose another name")
    return own_presets() / f"{name}.yaml"


def with_settings(values: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Nested configuration values with `group.key=value` settings laid over; values are YAML.

    Raises `RefusedError` for a setting without `=` or a value that is no YAML; keys are checked with the whole.
    """
    result = {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}
    for setting in settings:
        path, equals, text = setting.partition("=")
        group, dot, key = path.partition(".")
        if not (equals and dot and key):
            raise RefusedError(f"setting {setting!r} is not of the form group.key=value, such as training.epochs=5")
        if not isinstance(result.setdefault(group, {}), dict):
            raise RefusedError(f"setting {setting!r}: {group} is a single value without keys, found {result[group]!r}")
        try:
            result[group][key] = parse_yaml(text)
        except yaml.YAMLError as error:
            raise RefusedError(f"setting {setting!r}: the value is not valid YAML ({error})") from None
    return result
