"""stub"""

from iisan_core.workspace import Workspace


def import_form(workspace: Workspace) -> None:
    pass
