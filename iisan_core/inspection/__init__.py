"""Looking into a cache: what each layer knows, and how layers resemble each other."""

from iisan_core.inspection.probe import probe_layers
from iisan_core.inspection.similarity import layer_similarity

__all__ = ["layer_similarity", "probe_layers"]
