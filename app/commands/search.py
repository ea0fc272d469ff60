"""`iisan study search`: the best configuration of a space, by validation, as a table, a chart and a preset."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.commands import console
from iisan_core.config.presets import Preset, own_preset_file, save_preset
from iisan_core.config.schema import RunConfig
from iisan_core.errors import RefusedError

if TYPE_CHECKING:
    import polars as pl

    from iisan_core.experiments.run_study import StudyProgress

ABOUT = "study.json"
"""What a search leaves that has finished."""

DEFAULT_SPACE, DEFAULT_TRIALS = "rates", 30


@dataclass(frozen=True)
class SearchOptions:
    """What only this study has; unset: its default."""

    space: str | None = None
    trials: int | None = None
    minutes: float | None = None
    save_as: str | None = None

    def refuse_all(self, study: str) -> None:
        """Raise `RefusedError` if one of them is given to another study."""
        given = [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value is not None]
        if given:
            raise RefusedError(f"{' and '.join(given)} of the study search; {study} has a grid of its own")


def preset_name(options: SearchOptions, base: RunConfig, folder: Path) -> str:
    """The name that the winner is to have; raises `RefusedError` for one that it cannot have, before the search."""
    name = options.save_as or re.sub(r"[^a-z0-9._-]+", "-", f"{base.dataset.name}-search".lower()).lstrip("._-")
    file = own_preset_file(name)
    if file.exists() and not (folder / ABOUT).exists():
        raise RefusedError(f"there is a preset {name} already, {file}; choose another name with --save-as")
    return name


def searched(base: RunConfig, options: SearchOptions, folder: Path, *, seeds: Sequence[int]) -> Iterator[StudyProgress]:
    """What happens in the search."""
    from iisan_core.experiments.search import Budget, run_search
    from iisan_core.experiments.search_space import open_space

    budget = Budget(trials=options.trials or DEFAULT_TRIALS, minutes=options.minutes)
    return run_search(base, open_space(options.space or DEFAULT_SPACE), folder, budget=budget, seeds=seeds)


def keep_winner(folder: Path, name: str) -> str:
    """Write the best configuration of a finished search as a preset; returns what to say about it."""
    from iisan_core.experiments.search import START, trials_table, winner

    config, row = winner(folder)
    if row["row"] == START:
        return "By validation nothing was found that is better than the starting point, so there is no new preset"
    trials = trials_table(folder)
    preset = Preset(
        description=f"Found by a search of {trials.height} trials on {config.dataset.name}.",
        measured=_measured(config, row),
        modalities=list(config.caches),
        protocol=config.protocol,
        model=config.model,
        training=config.training,
    )
    file = save_preset(name, preset)
    return (
        f"The winner, {row['row']}, is the preset {name} ({console.shortened(file)}): `iisan train … --preset {name}`"
    )


def _measured(config: RunConfig, row: dict[str, Any]) -> str:
    figures = ", ".join(f"{metric} {row[f'test_{metric}']:.2f}" for metric in ("HR@10", "NDCG@10"))
    return f"{config.dataset.name}, {row['runs']} seeds: test {figures}; validation HR@10 {row['valid_HR@10']:.2f}."


def trials_for_people(folder: Path) -> pl.DataFrame:
    """The trials, best first, without what only CSV and JSON have."""
    from iisan_core.experiments.search import trials_table

    return trials_table(folder).sort("valid_HR@10", descending=True, nulls_last=True, maintain_order=True)
