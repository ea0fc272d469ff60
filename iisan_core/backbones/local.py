"""What of a backbone lies on this machine; answered without torch, for whoever only lists them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from iisan_core.backbones.registry import BackboneEntry, find_entry
from iisan_core.errors import RefusedError
from iisan_core.files import read_json

CONFIG = "config.json"
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def local_folder(name: str) -> Path | None:
    """The folder that holds a backbone's configuration and all its weights, for an alias, hub id or folder.

    Looks into the package of the registry's entry, the given folder and the hub's local cache; None where the model is
    in none of them, or only in part.
    """
    entry = find_entry(name)
    candidates = [
        packaged_folder(entry) if entry else None,
        None if entry else Path(name).expanduser(),
        cached_folder(entry.hub_id if entry else name),
    ]
    return next((folder for folder in candidates if folder is not None and is_whole(folder)), None)


def packaged_folder(entry: BackboneEntry) -> Path | None:
    """The folder `model` of the entry's Python package; None where it names none or it is not installed."""
    spec = importlib.util.find_spec(entry.package) if entry.package else None
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "model"


def cached_folder(hub_id: str) -> Path | None:
    """The snapshot of the main revision in the hub's local cache; None where its configuration is not there."""
    try:
        found = try_to_load_from_cache(hub_id, CONFIG)
    except HFValidationError:  # no hub id: a path, or mistyped
        return None
    return Path(found).parent if isinstance(found, str) else None


def is_whole(folder: Path) -> bool:
    """Whether a folder has a configuration and every file of weights that its index names."""
    if not (folder / CONFIG).is_file():
        return False
    if any((folder / name).is_file() for name in WEIGHTS):
        return True
    index = next((folder / name for name in INDEXES if (folder / name).is_file()), None)
    if index is None:
        return False
    try:
        shards = set(read_json(index, what="index of weights")["weight_map"].values())
        return all((folder / shard).is_file() for shard in shards)
    except (RefusedError, KeyError, TypeError, AttributeError):  # no index of weights at all
        return False
