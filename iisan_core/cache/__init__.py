"""Hidden-state caches: what backbones say of every item, computed once and read by row."""

from iisan_core.cache.inputs import CatalogueInputs, inputs_of
from iisan_core.cache.manifest import CacheManifest, CacheSettings, read_manifest
from iisan_core.cache.store import HiddenStateCache
from iisan_core.cache.writer import CacheWriter

__all__ = [
    "CacheManifest",
    "CacheSettings",
    "CacheWriter",
    "CatalogueInputs",
    "HiddenStateCache",
    "inputs_of",
    "read_manifest",
]
