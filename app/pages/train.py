"""Train: start a run, watch it, stop it, go on with it."""

from __future__ import annotations

from app.widgets.page import show_page
from app.widgets.training_actions import follow_new_like
from app.widgets.training_form import training_form
from app.widgets.training_list import choose_run_or_new
from app.widgets.training_monitor import training_monitor
from iisan_core.runs.workspace import Workspace


def draw(workspace: Workspace) -> None:
    """The page's body."""
    follow_new_like(workspace)
    chosen = choose_run_or_new(workspace)
    if chosen is None:
        training_form(workspace)
    else:
        training_monitor(chosen)


show_page("Train", draw, about="Train side networks on cached states; every run goes on without this page.")
