"""The blend of a run's score on disk: `blend.json` and, where something is counted, `together.safetensors`."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from iisan_core.config.schema import BaselineConfig, RunConfig, validated
from iisan_core.data.split import Split
from iisan_core.evaluation.baselines import count_together
from iisan_core.evaluation.blend import Blend
from iisan_core.files import checked, read_json, sha256_of_texts, write_json
from iisan_core.model.recommender import RecommenderModel
from iisan_core.model.together import Together, load_together, save_together
from iisan_core.runs.run_folder import RunFolder


def counted(config: RunConfig, split: Split) -> Together | None:
    """What `model.together` counts, with a weight that is to be chosen; None where the configuration wants none."""
    if not config.model.together or config.training.blend == "off":
        return None
    return count_together(split, BaselineConfig(kind="item-knn"))


def save_blend(run: RunFolder, blend: Blend, together: Together | None, *, item_ids: Sequence[str]) -> None:
    """Write the weights, and what is counted."""
    if together is not None:
        save_together(together, run.together, of_items=sha256_of_texts(list(item_ids)))
    write_json(run.blend, blend.model_dump(mode="json"))


def read_blend(run: RunFolder) -> Blend:
    """The weights of a run's parts; of one without such parts, or made before there were any, the plain ones."""
    if not checked(run.blend, broken=False).is_file():
        return Blend()
    blend = validated(Blend, read_json(run.blend, what="weights of a score's parts"), where=str(run.blend))
    checked(run.blend)
    return blend


def read_together(run: RunFolder, blend: Blend, *, item_ids: Sequence[str]) -> Together | None:
    """What the run has counted, with its weight; None where it weighs nothing.

    Raises `RefusedError` where the file is absent, broken, or of other items.
    """
    if not blend.together:
        return None
    return load_together(run.together, of_items=sha256_of_texts(list(item_ids)), weight=blend.together)


@torch.no_grad()
def apply_blend(model: RecommenderModel, blend: Blend) -> RecommenderModel:
    """Weigh, in place, the frozen path of a model that was just loaded."""
    if model.frozen is not None:
        for name, factor in blend.frozen.items():
            model.frozen.weight[name].mul_(factor)
    return model
