"""The library: caches, models, training, evaluation, serving.

What `__all__` lists is the public interface. Names are loaded when first used, so that reading a dataset does not
import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iisan_core.backbones import BackboneEntry, backbone_catalogue, find_entry, load_backbone, local_folder
    from iisan_core.bench.methods import compare_methods
    from iisan_core.bootstrap import Interval, paired_interval
    from iisan_core.cache.manifest import CacheSettings
    from iisan_core.cache.store import HiddenStateCache
    from iisan_core.comparison import (
        config_differences,
        leaderboard,
        paired_differences,
        readable_runs,
        seed_table,
        tpme,
    )
    from iisan_core.config import ModelConfig, ProtocolConfig, RunConfig, TrainingConfig, load_config
    from iisan_core.dataset import Dataset
    from iisan_core.embedded.options import MethodOptions
    from iisan_core.errors import IisanError, RefusedError
    from iisan_core.evaluation.evaluate import evaluate
    from iisan_core.extraction import extract
    from iisan_core.inspection import layer_similarity, probe_layers
    from iisan_core.loss import denominator_weights, in_batch_softmax
    from iisan_core.model.gates import gates_of
    from iisan_core.model.recommender_model import RecommenderModel
    from iisan_core.model.saved import load_model
    from iisan_core.planning import Plan, plan
    from iisan_core.presets import load_preset
    from iisan_core.recommender import Recommended, Recommender, Similar
    from iisan_core.run_folder import RunFolder
    from iisan_core.sequences import Split, split
    from iisan_core.serving.audience import Suited
    from iisan_core.serving.explanation import Explanation, Influence, ScorePart
    from iisan_core.training.batches import make_batch
    from iisan_core.training.ready import trained
    from iisan_core.training.run import resume, train
    from iisan_core.workspace import Workspace

__all__ = [
    "BackboneEntry",
    "CacheSettings",
    "Dataset",
    "Explanation",
    "HiddenStateCache",
    "IisanError",
    "Influence",
    "Interval",
    "MethodOptions",
    "ModelConfig",
    "Plan",
    "ProtocolConfig",
    "Recommended",
    "Recommender",
    "RecommenderModel",
    "RefusedError",
    "RunConfig",
    "RunFolder",
    "ScorePart",
    "Similar",
    "Split",
    "Suited",
    "TrainingConfig",
    "Workspace",
    "backbone_catalogue",
    "compare_methods",
    "config_differences",
    "denominator_weights",
    "evaluate",
    "extract",
    "find_entry",
    "gates_of",
    "in_batch_softmax",
    "layer_similarity",
    "leaderboard",
    "load_backbone",
    "load_config",
    "load_model",
    "load_preset",
    "local_folder",
    "make_batch",
    "paired_differences",
    "paired_interval",
    "plan",
    "probe_layers",
    "readable_runs",
    "resume",
    "seed_table",
    "split",
    "tpme",
    "train",
    "trained",
]

_HOMES = {
    "backbones": ("BackboneEntry", "backbone_catalogue", "find_entry", "load_backbone", "local_folder"),
    "bench.methods": ("compare_methods",),
    "bootstrap": ("Interval", "paired_interval"),
    "cache.manifest": ("CacheSettings",),
    "cache.store": ("HiddenStateCache",),
    "comparison": (
        "config_differences",
        "leaderboard",
        "paired_differences",
        "readable_runs",
        "seed_table",
        "tpme",
    ),
    "config": ("ModelConfig", "ProtocolConfig", "RunConfig", "TrainingConfig", "load_config"),
    "dataset": ("Dataset",),
    "embedded.options": ("MethodOptions",),
    "errors": ("IisanError", "RefusedError"),
    "evaluation.evaluate": ("evaluate",),
    "extraction": ("extract",),
    "inspection": ("layer_similarity", "probe_layers"),
    "loss": ("denominator_weights", "in_batch_softmax"),
    "model.gates": ("gates_of",),
    "model.recommender_model": ("RecommenderModel",),
    "model.saved": ("load_model",),
    "planning": ("Plan", "plan"),
    "presets": ("load_preset",),
    "recommender": ("Recommended", "Recommender", "Similar"),
    "run_folder": ("RunFolder",),
    "sequences": ("Split", "split"),
    "serving.audience": ("Suited",),
    "serving.explanation": ("Explanation", "Influence", "ScorePart"),
    "training.batches": ("make_batch",),
    "training.ready": ("trained",),
    "training.run": ("resume", "train"),
    "workspace": ("Workspace",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
