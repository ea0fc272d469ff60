from .loading import load_backbone
from .local import local_folder
from .registry import BackboneEntry, backbone_catalogue, find_entry

__all__ = [
    "BackboneEntry",
    "backbone_catalogue",
    "find_entry",
    "load_backbone",
    "local_folder",
]
