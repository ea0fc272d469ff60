"""Where a backbone comes from, down to the bytes: the hub, its local cache, a package or a folder.

What the libraries show while they fetch and load one can be `silenced`.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers.utils import extract_commit_hash, logging

from iisan_core.backbones.base import Source
from iisan_core.backbones.local import CONFIG, packaged_folder
from iisan_core.backbones.registry import BackboneEntry, backbone_catalogue, find_entry
from iisan_core.errors import RefusedError, first_sentence
from iisan_core.files import sha256_of_file

HASHED_SUFFIXES = {".safetensors", ".bin", ".json", ".txt", ".model", ".jinja", ".py"}
"""Files of a local folder that decide what a backbone computes: weights, configuration, tokenizer, its own program."""


def find_source(name: str, *, revision: str | None = None, token: str | bool | None = None) -> Source:
    """Resolve a backbone's name to the place it is loaded from and the hash of what lies there.

    Raises `RefusedError` in one line that says how to get what is not there.
    """
    entry = find_entry(name)
    packaged = packaged_folder(entry) if entry else None
    if packaged is not None:
        return Source(name, str(packaged), sha256_of_model(packaged))
    folder = Path(name).expanduser()
    if entry is None and folder.is_dir():
        if not (folder / CONFIG).is_file():
            raise RefusedError(f"{folder} holds no backbone: config.json is missing there; see `save_pretrained`")
        return Source(name, str(folder), sha256_of_model(folder))
    if entry is None and (folder.is_absolute() or name.startswith((".", "~"))):
        raise RefusedError(
            f"no backbone at {folder}: there is no such folder; correct the path, or bring the folder back"
        )
    hub_id = entry.hub_id if entry else name
    try:
        return Source(name, hub_id, _commit_hash(hub_id, revision=revision, token=token))
    except HFValidationError:
        raise RefusedError(f"no backbone {name!r}: it is neither a folder here nor {_alternatives(name)}") from None
    except (OSError, ValueError) as error:
        raise RefusedError(_how_to_get(name, hub_id, error, revision, entry)) from error


def sha256_of_model(folder: Path) -> str:
    """SHA-256 over names and contents of the files that decide what the model in `folder` computes."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in HASHED_SUFFIXES and p.is_file()):
        digest.update(f"{path.name}\0{sha256_of_file(path)}\n".encode())
    return digest.hexdigest()


def _commit_hash(hub_id: str, *, revision: str | None, token: str | bool | None) -> str:
    config = hf_hub_download(hub_id, CONFIG, revision=revision, token=token)
    commit = extract_commit_hash(config, None)
    if commit is None:
        raise RefusedError(f"the hub names no commit for {hub_id!r}, so its states could not be told apart")
    return str(commit)


def _how_to_get(name: str, hub_id: str, error: Exception, revision: str | None, entry: BackboneEntry | None) -> str:
    """One line: what stands between the user and the model, and the way around."""
    if isinstance(error, GatedRepoError):
        return (
            f"{hub_id} is gated: accept its conditions at {constants.ENDPOINT}/{hub_id}, then let the hub know you "
            "with `hf auth login` or the variable HF_TOKEN"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{hub_id} has no revision {revision!r}; its branches, tags and commits stand at its page on the hub"
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"no backbone {name!r}: it is no folder here, and the hub has none of that name that you may see; check "
            f"the spelling{_similar(name)}, or log in with `hf auth login` if it is private"
        )
    if isinstance(error, RemoteEntryNotFoundError):
        return f"{hub_id} on the hub has no config.json, so it is no model in the transformers format; choose another"
    if isinstance(error, LocalEntryNotFoundError) or constants.is_offline_mode():
        return (
            f"no backbone {name!r}: it is neither a folder here nor in the hub's local cache, and the hub "
            f"{_out_of_reach()}; {_ways(hub_id, entry)}{_similar(name)}"
        )
    return f"{name} cannot be fetched from the hub: {first_sentence(error)}"


def _out_of_reach() -> str:
    return "is not asked (HF_HUB_OFFLINE is set)" if constants.is_offline_mode() else "cannot be reached from here"


def _ways(hub_id: str, entry: BackboneEntry | None) -> str:
    ways = [f"download it once with `hf download {hub_id}`, with HF_HUB_OFFLINE unset"]
    if entry is not None and entry.extra:
        ways.insert(0, f'pip install "iisan-workbench[{entry.extra}]"')
    if entry is not None and entry.gated:
        ways.append(f"it is gated, so first accept its conditions at {constants.ENDPOINT}/{hub_id}")
    return "; or ".join(ways[:2]) if not (entry and entry.gated) else "; ".join(ways)


def _alternatives(name: str) -> str:
    return f"a name of the registry (`iisan backbones`) nor a hub id such as owner/model{_similar(name)}"


def _similar(name: str) -> str:
    """Names of the registry that look like a mistyped one, as a parenthesis."""
    known = {known.lower(): known for entry in backbone_catalogue() for known in (entry.name, entry.hub_id)}
    close = [known[match] for match in difflib.get_close_matches(name.lower(), known, n=2, cutoff=0.7)]
    return f" (did you mean {' or '.join(close)}?)" if close and name not in known.values() else ""


NO_PROGRAMS: dict[str, Any] = {"trust_remote_code": False}
"""Told to whatever reads a model's folder: left unset, the library would ask on standard input, and run at a `y` the
program that the folder brings."""


def pinned(source: Source) -> dict[str, Any]:
    """What every reader of a model is told: exactly the recorded revision, and none of its own programs."""
    return NO_PROGRAMS | ({} if Path(source.location).is_dir() else {"revision": source.revision})


@contextmanager
def silenced() -> Iterator[None]:
    """Silence bars and load reports within the block, and restore them after."""
    verbosity = logging.get_verbosity()
    bar, hub_bars = logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
        if hub_bars:
            enable_progress_bars()
