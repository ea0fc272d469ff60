"""YAML means what PyYAML's own safe loader reads, and makes no objects."""

from __future__ import annotations

from importlib import resources

import pytest
import yaml

from iisan_core.config.schema import parse_yaml

OURS = [
    *(f for f in resources.files("iisan_core.config.presets").iterdir() if f.name.endswith(".yaml")),
    resources.files("iisan_core.backbones") / "registry.yaml",
]


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.name)
def test_our_own_files_say_the_same_to_both_loaders(file: resources.abc.Traversable) -> None:
    text = file.read_text(encoding="utf-8")
    assert parse_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["{", "a: b: c", "!!python/object/apply:os.getcwd []", "\t- a"])
def test_what_is_no_plain_yaml_is_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        parse_yaml(text)
