"""Train: start a run, watch it, stop it, go on with it."""

from __future__ import annotations

from app.ui.layout import show_page
from app.ui.train_form import training_form
from app.ui.train_monitor import choose_run_or_new, follow_new_like, training_monitor
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
