"""In what the configurations of runs differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import yaml

from iisan_core.run_folder import RunFolder


def config_differences(runs: Sequence[RunFolder]) -> pl.DataFrame:
    """One row per setting in which some of the runs differ, and one column per run.

    Column `setting` holds the dotted key, such as `model.bottleneck`; values are as YAML writes them, null where
    a run has no such setting. Where two runs share a name, columns are named by their paths.
    Raises `RefusedError` if a configuration cannot be read.
    """
    flat = [dict(_flattened(run.config().model_dump(mode="json"))) for run in runs]
    settings = list(dict.fromkeys(key for one in flat for key in one))
    differing = [key for key in settings if len({one.get(key) for one in flat}) > 1]
    columns: dict[str, list[str | None]] = {"setting": [*differing]}
    columns |= {name: [one.get(key) for key in differing] for name, one in zip(_names(runs), flat, strict=True)}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def _flattened(group: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Dotted keys and their values in YAML's spelling."""
    found: list[tuple[str, str]] = []
    for key, value in group.items():
        if isinstance(value, Mapping) and value:
            found += _flattened(value, f"{prefix}{key}.")
        else:
            spelled = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
            found.append((prefix + key, spelled.removesuffix("\n").removesuffix("\n...")))
    return found


def _names(runs: Sequence[RunFolder]) -> list[str]:
    names = [run.name for run in runs]
    if len(set(names)) == len(names):
        return names
    return [str(run.path) for run in runs]
