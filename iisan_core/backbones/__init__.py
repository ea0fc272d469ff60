"""Frozen foundation models: which layers, how pooled, from where.

Names are loaded when first used, so that listing the registry does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iisan_core.backbones.base import Backbone, Batch, ComputeDtype, LoadedBatch, Modality
    from iisan_core.backbones.layers import choose_layers
    from iisan_core.backbones.loading import load_backbone
    from iisan_core.backbones.local import local_folder
    from iisan_core.backbones.pooling import POOLINGS
    from iisan_core.backbones.registry import BackboneEntry, TowerEntry, backbone_catalogue, find_entry

__all__ = [
    "POOLINGS",
    "Backbone",
    "BackboneEntry",
    "Batch",
    "ComputeDtype",
    "LoadedBatch",
    "Modality",
    "TowerEntry",
    "backbone_catalogue",
    "choose_layers",
    "find_entry",
    "load_backbone",
    "local_folder",
]

_HOMES = {
    "base": ("Backbone", "Batch", "ComputeDtype", "LoadedBatch", "Modality"),
    "layers": ("choose_layers",),
    "loading": ("load_backbone",),
    "local": ("local_folder",),
    "pooling": ("POOLINGS",),
    "registry": ("BackboneEntry", "TowerEntry", "backbone_catalogue", "find_entry"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
