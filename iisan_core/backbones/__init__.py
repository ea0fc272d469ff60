"""Frozen foundation models: which layers, how pooled, from where."""

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
