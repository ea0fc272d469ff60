"""Item vectors as a run keeps them."""

from __future__ import annotations

from safetensors import SafetensorError, safe_open
from torch import Tensor

from iisan_core.errors import RefusedError
from iisan_core.run_folder import RunFolder


def read_vectors(folder: RunFolder) -> tuple[Tensor, str]:
    """Item vectors [N + 1, E], and the hash of the item ids that they belong to.

    Raises `RefusedError` where there is no such file, or it holds something else.
    """
    path = folder.item_vectors
    if not path.is_file():
        raise RefusedError(f"no item vectors at {path}; let the run finish, or go on with `iisan resume`")
    try:
        with safe_open(path, framework="pt") as file:
            return file.get_tensor("items"), (file.metadata() or {}).get("item_ids", "")
    except SafetensorError as error:
        raise RefusedError(f"{path} holds no item vectors ({error}); train again") from None
