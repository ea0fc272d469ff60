"""Data."""

from __future__ import annotations

from app.widgets.page import empty_state, show_page
from iisan_core.workspace import Workspace


def draw(workspace: Workspace) -> None:
    """The page's body."""
    empty_state("Nothing here yet", f"{workspace.root} is empty. Make the demo world on the Home page.", page="home")


show_page("Data", draw, about="What is here, and what to do next.")
