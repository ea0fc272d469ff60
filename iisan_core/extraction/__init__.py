"""Every item once through a frozen backbone, into a hidden-state cache (method, section 1)."""

from iisan_core.extraction.extracting import DEFAULT_PART_SIZE, ExtractionProgress, cache_folder_for, extract
from iisan_core.extraction.filling import states_of
from iisan_core.extraction.ranks import ALONE, Ranks

__all__ = ["ALONE", "DEFAULT_PART_SIZE", "ExtractionProgress", "Ranks", "cache_folder_for", "extract", "states_of"]
