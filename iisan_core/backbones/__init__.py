"""Frozen foundation models: which layers, how pooled, from where."""

from iisan_core.backbones.base import Backbone, Batch, ComputeDtype, LoadedBatch, Modality
from iisan_core.backbones.layers import choose_layers
from iisan_core.backbones.loading import load_backbone
from iisan_core.backbones.pooling import POOLINGS

__all__ = [
    "POOLINGS",
    "Backbone",
    "Batch",
    "ComputeDtype",
    "LoadedBatch",
    "Modality",
    "choose_layers",
    "load_backbone",
]
