"""Which jobs were made here: a card of one's own has a seal that no folder from elsewhere can bring.

What a job's folder asks for is done by `iisan resume` with the rights of whoever types that, so a folder that somebody
else made must not decide it. The seal is a keyed hash of what the card says and of where it lies; the key never leaves
the user's own folder of states. A workspace that was moved or copied has no valid seals any more: its jobs are then
foreign, too, which costs them no more than what leads out of the workspace.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

VARIABLE = "IISAN_STATE"
"""Names another folder for the key than the user's own."""

KEY_BYTES = 32


def seal_of(values: Mapping[str, Any], *, job: Path) -> str:
    """The seal of a card's values, as they stand in the file, for the folder `job`; empty where no key can be kept."""
    key = _key()
    if key is None:
        return ""
    said = json.dumps([values.get(name) for name in ("argv", "device", "workspace", "folder")] + [str(job.resolve())])
    return hmac.new(key, said.encode(), hashlib.sha256).hexdigest()


def is_sealed(values: Mapping[str, Any], *, job: Path) -> bool:
    """Whether the card was written for this very folder by this user on this machine."""
    seal, given = seal_of(values, job=job), values.get("seal")
    return bool(seal) and isinstance(given, str) and hmac.compare_digest(seal.encode(), given.encode())


def _key() -> bytes | None:
    path = _folder() / "seal.key"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileExistsError):
            _write(path, secrets.token_bytes(KEY_BYTES))
        key = path.read_bytes()
        return key if len(key) == KEY_BYTES else None
    return None


def _write(path: Path, key: bytes) -> None:
    """Make the file with its content in one step; `FileExistsError` where there is one."""
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(key)
    try:
        os.link(temporary, path)
    finally:
        temporary.unlink()


def _folder() -> Path:
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE])
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path("~/.local/state").expanduser()) / "iisan-workbench"
