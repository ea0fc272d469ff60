"""Which layers are worth keeping."""

from __future__ import annotations

from iisan_core.backbones.layers import choose_layers
from iisan_core.cache.manifest import read_manifest
from iisan_core.config import RunConfig
from iisan_core.errors import RefusedError
from iisan_core.studies.changes import with_model
from iisan_core.studies.study import Row, Study

CHOICES = ("all", "even", "group:5", "group:4", "group:3", "-4,-3,-2,-1", "-3,-2,-1", "-2,-1", "-1")
"""In the words of `iisan extract --layers`, numbered as the layers lie in the caches."""


def layers(base: RunConfig) -> Study:
    """Choices among the cached layers, the same words for every modality; those that one cache lacks are left out.

    Extract with `--layers all` to have them all compared. Raises `RefusedError` where the caches leave no choice.
    """
    counts = {name: len(read_manifest(folder).layers) for name, folder in base.caches.items()}
    rows: dict[str, Row] = {}
    for choice in CHOICES:
        read = _read(choice, counts)
        if read and str(read) not in rows:
            # Said as a run says it that chooses nothing, so that the same is not trained twice.
            config = with_model(base, {"layers": {} if choice == "all" else dict.fromkeys(counts, choice)})
            kept = {f"layers_{name}": float(len(numbers)) for name, numbers in read.items()}
            rows[str(read)] = Row(f"last {-int(choice.split(',')[0])}" if choice[0] == "-" else choice, config, kept)
    if len(rows) < 2:
        raise RefusedError(
            f"the caches hold {counts} layers, which leaves nothing to choose; extract with --layers all"
        )
    return Study("layers", "Which of the cached layers are worth reading?", tuple(rows.values()))


def _read(choice: str, counts: dict[str, int]) -> dict[str, list[int]]:
    """Modality → layers; nothing where a cache has too few for the choice."""
    try:
        return {name: choose_layers(choice, count - 1) for name, count in counts.items()}
    except RefusedError:
        return {}
