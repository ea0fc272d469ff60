"""Finished runs blended into one: their scores at one scale, weighed by validation; a run like any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import torch

from iisan_core.config.schema import TOGETHER, RunConfig
from iisan_core.data.split import Split
from iisan_core.errors import RefusedError
from iisan_core.evaluation.blend import Blend, choose_weights
from iisan_core.files import sha256_of_texts
from iisan_core.model.ensemble import Ensemble, save_ensemble
from iisan_core.model.saving import load_model
from iisan_core.model.together import Together
from iisan_core.runs.blending import apply_blend, read_blend, read_together, save_blend
from iisan_core.runs.results import ranked, read_vectors, save_vectors
from iisan_core.runs.run_folder import RunFolder


def ensemble_config(runs: Sequence[str | Path]) -> RunConfig:
    """The configuration of a run that blends these.

    Raises `RefusedError` for fewer than two, for runs that are not finished or keep no vectors, and for runs of another
    dataset or protocol than the first.
    """
    if len(runs) < 2:
        raise RefusedError(f"a blend takes two runs or more; found {len(runs)}")
    folders = [RunFolder.open(run) for run in runs]
    first = folders[0].config()
    for folder in folders:
        config = folder.config()
        if (config.dataset, config.protocol) != (first.dataset, first.protocol):
            raise RefusedError(
                f"{folder.path} was trained on another dataset or protocol than {folders[0].path}; blend runs of one"
            )
        if config.baseline is not None or config.members:
            raise RefusedError(f"{folder.path} is no trained model, and only these can be blended; name others")
        folder.results()
    return RunConfig(dataset=first.dataset, protocol=first.protocol, members=[f.path.resolve() for f in folders])


def blend_members(run: RunFolder, config: RunConfig, split: Split) -> tuple[pl.DataFrame, Blend, int]:
    """Choose the members' weights, write models and vectors; returns a rank table, the choice, and all weights' count.

    Raises `RefusedError` where a member ranks other items.
    """
    members = [RunFolder.open(path) for path in config.members]
    of_items = sha256_of_texts(split.item_ids)
    tables = []
    for member in members:
        table, whose = read_vectors(member)
        if whose != of_items:
            raise RefusedError(f"{member.path} ranks other items than the dataset holds now; train it again")
        tables.append(table)
    ensemble = Ensemble([apply_blend(load_model(m.best), read_blend(m)) for m in members]).eval()
    table = torch.cat(tables, dim=1).float()
    ensemble.fit_scale(table)
    together = _counted(members, split)
    # One weight is free: only what the others weigh against the first matters.
    columns = {str(number): part for number, part in enumerate(ensemble.columns) if number}
    chosen = choose_weights(ensemble, table, split, columns=columns, together=together)
    ensemble.weights.copy_(torch.tensor([1.0, *(chosen[name] for name in columns)]))
    blend = Blend(members=ensemble.weights.tolist(), together=chosen.get(TOGETHER, 0.0))
    save_ensemble(ensemble, run.best)
    save_vectors(run, table, item_ids=split.item_ids)
    save_blend(run, blend, together, item_ids=split.item_ids)
    weighed = together.weighing(blend.together) if together is not None and blend.together else None
    ranks = ranked(ensemble, table, split, together=weighed)
    return ranks, blend, sum(p.numel() for p in ensemble.parameters() if p.requires_grad)


def _counted(members: Sequence[RunFolder], split: Split) -> Together | None:
    """What the first member that counts has counted: of one split, it is the same for all."""
    for member in members:
        found = read_together(member, read_blend(member), item_ids=split.item_ids)
        if found is not None:
            return found
    return None
