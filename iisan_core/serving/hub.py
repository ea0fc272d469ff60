"""Runs given to the hub and taken from it. What is taken is looked at before it is opened, and nothing of it is run.

The token is huggingface_hub's own matter (`hf auth login`, or HF_TOKEN): no argument here, and in no file or message.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from iisan_core.errors import IisanError, RefusedError, first_sentence
from iisan_core.files import new_folder
from iisan_core.runs.run_folder import RunFolder
from iisan_core.serving.shared_folder import Sharing, check_names, share, shared_run

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
MOST_BYTES = 100 * 10**9
"""Of a run that is pulled, all files together."""


def push(run: RunFolder, name: str, sharing: Sharing, *, public: bool = False, message: str = "") -> str:
    """Give a run to the hub as `user/name`; returns its address there.

    A repository that is not there yet is made, private unless `public`. Raises `RefusedError` if the run cannot be
    served, the name is none, or the hub does not know whoever asks; `IisanError` where the hub fails.
    """
    _check_name(name)
    with TemporaryDirectory(prefix="iisan-push-") as place:
        share(run, Path(place) / "run", sharing, name=name)
        return upload(Path(place) / "run", name, kind="model", public=public, message=message)


def upload(folder: Path, name: str, *, kind: str, public: bool, message: str = "") -> str:
    """Give a folder to the hub, as a model or a Space; returns its address."""
    _check_name(name)
    api = HfApi()
    with _in_words(name):
        sdk = "gradio" if kind == "space" else None
        address = api.create_repo(name, repo_type=kind, private=not public, exist_ok=True, space_sdk=sdk)
        said = message or f"A run of {run_library()}"
        api.upload_folder(repo_id=name, folder_path=folder, repo_type=kind, commit_message=said)
    return str(address)


def run_library() -> str:
    """What made it, for the history of a repository."""
    from importlib.metadata import version

    return f"iisan-workbench {version('iisan-workbench')}"


def pull(
    name: str, folder: Path, *, revision: str | None = None, on_file: Callable[[str], None] = lambda file: None
) -> Path:
    """Take a run from the hub into the new `folder`; returns the run folder in it.

    on_file  is told which file is being fetched

    Raises `RefusedError` if there is none that you may see, or it holds anything but a shared run; `IisanError` where
    the hub fails.
    """
    _check_name(name)
    api = HfApi()
    with new_folder(folder) as made:
        with _in_words(name, revision):
            found = api.model_info(name, revision=revision, files_metadata=True)
            sizes = {file.rfilename: file.size or 0 for file in found.siblings or []}
            check_names(sizes, where=name)
            if sum(sizes.values()) > MOST_BYTES:
                raise RefusedError(
                    f"{name} has {sum(sizes.values()) / 1e9:.0f} GB; {MOST_BYTES / 1e9:.0f} are the most"
                )
            for file in sizes:
                on_file(file)
                api.hf_hub_download(name, file, revision=found.sha, local_dir=made)
        shutil.rmtree(made / ".cache", ignore_errors=True)
        run = shared_run(made).relative_to(made)
    return folder / run


def local_or_pulled(source: str | Path, *, revision: str | None = None) -> Path:
    """The run folder of a name on the hub, or of a folder here: a shared one, or a run of this machine.

    What was fetched stays in the hub's cache folder, by its revision. Raises what `pull` raises.
    """
    here = Path(source).expanduser()
    if here.is_dir():
        return here if (here / "config.yaml").is_file() else shared_run(here)
    _check_name(str(source))
    shelf = Path(constants.HF_HOME) / "iisan" / str(source).replace("/", "--")
    try:
        with _in_words(str(source), revision):
            commit = str(HfApi().model_info(str(source), revision=revision).sha)
    except IisanError:
        kept = (
            shelf / revision if revision else max(shelf.glob("*"), default=shelf, key=lambda path: path.stat().st_mtime)
        )
        if not (kept / "runs").is_dir():
            raise
        return shared_run(kept)
    if not (shelf / commit / "runs").is_dir():
        pull(str(source), shelf / commit, revision=commit)
    return shared_run(shelf / commit)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name) or ".." in name or "--" in name:
        raise RefusedError(
            f"{name!r} is no name on the hub, and no folder here; names look like user/name, of letters, digits, "
            "single dashes, dots and underscores"
        )


@contextmanager
def _in_words(name: str, revision: str | None = None) -> Iterator[None]:
    """What the hub's library raises, as sentences; without the token, wherever it might stand."""
    try:
        yield
    except IisanError:
        raise
    except GatedRepoError:
        raise RefusedError(f"{name} is gated: accept its conditions on its page, then `hf auth login`") from None
    except RevisionNotFoundError:
        raise RefusedError(
            f"{name} has no revision {revision!r}; its branches, tags and commits stand on its page"
        ) from None
    except RepositoryNotFoundError:
        raise RefusedError(
            f"the hub has no {name} that you may see; check the spelling, or log in with `hf auth login` or HF_TOKEN"
        ) from None
    except (HFValidationError, OfflineModeIsEnabled) as error:
        raise RefusedError(f"{name}: {_tokenless(error)}") from None
    except Exception as error:  # of three libraries, by network, hub or disk
        if type(error).__module__.split(".")[0] not in ("huggingface_hub", "httpx", "httpx2", "requests", "builtins"):
            raise
        if isinstance(error, (TypeError, AttributeError, KeyError)):
            raise
        raise IisanError(f"the hub did not do it for {name}: {_tokenless(error)}; try again") from None


def _tokenless(error: BaseException) -> str:
    token = get_token()
    said = first_sentence(error)
    return said.replace(token, "…") if token else said
