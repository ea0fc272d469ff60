"""Backbones and cache: what there is, what it would take, extraction as a job, and the caches."""

from __future__ import annotations

from app.ui.backbones import draw_caches, draw_registry
from app.ui.choices import choose_view
from app.ui.extraction import draw_extraction
from app.ui.frame import show_page
from iisan_core.runs.workspace import Workspace

EXTRACT, REGISTRY, CACHES = "Extract", "Registry", "Caches"


def draw(workspace: Workspace) -> None:
    """The page's body."""
    view = choose_view([EXTRACT, REGISTRY, CACHES])
    if view == EXTRACT:
        draw_extraction(workspace)
    elif view == REGISTRY:
        draw_registry()
    else:
        draw_caches(workspace)


show_page("Backbones", draw, about="Every item goes once through frozen backbones; their hidden states are kept.")
