"""What a folder of sentence-transformers says of its model: pooling, longest text, prompts, and steps after pooling.

`modules.json` lists the steps; the folder of the `Pooling` step says how tokens become one vector. Whatever comes after
pooling (a norm, a projection) changes no hidden state and is left out, which is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HFValidationError
from transformers.utils import cached_file

from iisan_core.files import read_json

MODULES = "modules.json"
PROMPTS = "config_sentence_transformers.json"
LENGTHS = ("sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json")

OURS = {"cls": "cls", "mean": "mean", "lasttoken": "last"}
"""Their words for pooling, and ours; others are not offered."""

EARLIER = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Switches of earlier releases of theirs, and the word that each stands for."""

Read = Callable[[str], Any]
"""The content of a JSON file of the folder by its name; None where there is none."""


@dataclass(frozen=True)
class Declared:
    """Empty for a folder that says nothing of all this."""

    pooling: str | None = None
    """`cls`, `mean` or `last`."""
    max_tokens: int | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    """Name → what stands before a text."""
    prompt: str = ""
    """The one that stands there unless something else is said."""
    notes: tuple[str, ...] = ()
    """What of it is not done here, a sentence each."""


def declared_by(location: str, **hub: Any) -> Declared:
    """What the folder or hub id `location` declares; `hub` is what every `from_pretrained` is told."""

    def read(name: str) -> Any:
        options = {key: value for key, value in hub.items() if key in ("revision", "token")}
        quietly = {f"_raise_exceptions_for_{what}": False for what in ("missing_entries", "connection_errors")}
        try:
            path = cached_file(location, name, **options, **quietly)
        except (OSError, HFValidationError):
            return None
        if path is None:
            return None
        return read_json(Path(path), what="declaration")

    return declaration(read)


def declaration(read: Read) -> Declared:
    """What the files that `read` gives declare."""
    modules = read(MODULES)
    if not isinstance(modules, list):
        return Declared()
    steps = {str(step.get("type", "")).rpartition(".")[2]: step.get("path", "") for step in modules}
    pooling, notes = None, []
    if "Pooling" in steps:
        pooling, said = _pooling(read(f"{steps['Pooling']}/config.json") or {})
        notes += said
    left_out = [name for name in steps if name not in ("Transformer", "Pooling")]
    if left_out:
        notes.append(
            f"its own embedding goes through {', '.join(left_out)} after pooling; hidden states are kept without that"
        )
    sentences = read(PROMPTS) or {}
    prompts = {name: text for name, text in (sentences.get("prompts") or {}).items() if isinstance(text, str)}
    default = prompts.get(sentences.get("default_prompt_name") or "", "")
    return Declared(pooling, next(_lengths(read), None), prompts, default, tuple(notes))


def _pooling(config: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    """Our word for a `Pooling` step's, and what is to be said of it."""
    switched = [word for switch, word in EARLIER.items() if config.get(switch)]
    mode = config.get("pooling_mode", switched or ["mean"])
    modes = [mode] if isinstance(mode, str) else list(mode)
    notes = []
    if len(modes) > 1 or modes[0] not in OURS:
        notes.append(f"it pools by {' and '.join(modes)}, which is not offered; the mean is taken unless you choose")
    if config.get("include_prompt") is False:
        notes.append("it leaves the words of a prompt out of pooling; here they are pooled, too")
    return (OURS[modes[0]] if len(modes) == 1 and modes[0] in OURS else None), notes


def _lengths(read: Read) -> Iterator[int]:
    for name in LENGTHS:
        length = (read(name) or {}).get("max_seq_length")
        if isinstance(length, int) and length > 0:
            yield length
