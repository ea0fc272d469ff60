"""Options that several verbs share, and what their help says of the library.

Help texts need no library. What is listed by modules that import torch or polars stands here once more; a test holds
the two equal.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer

from app.extraction_options import FIELDS, option_of
from iisan_core.cache.manifest import CacheSettings, Kind
from iisan_core.config import DeviceChoice
from iisan_core.errors import RefusedError
from iisan_core.validation import validated

Arithmetic: TypeAlias = Literal["auto", "float32", "bfloat16"]
Quantization: TypeAlias = Literal["4bit", "8bit"]
By: TypeAlias = Literal["popularity", "length", "repeat"]
STUDIES = ("ablation", "asymmetric", "balance", "baselines", "layers", "robustness", "scaling")
KINDS = ("iisan-tsv", "movielens", "microlens", "amazon-2018", "amazon-2023", "table", "huggingface")
VARIABLE = "IISAN_WORKSPACE"
ITEMS, USERS, LAYERS = 20_314, 12_076, 7
"""Random work of `iisan bench`: as much as Amazon Scientific, with so many kept layers."""
DEPTH, WIDTH, TOKENS, PIXELS = 12, 768, 30, 224
"""Random backbones of `iisan bench`: as BERT-base and ViT-base are."""

DatasetFolder = Annotated[Path, typer.Argument(help="A dataset folder.")]
RunPath = Annotated[Path, typer.Argument(help="A run folder.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Change one value, such as training.epochs=5; repeatable.")
]
Device = Annotated[DeviceChoice, typer.Option(help="Where to compute.")]
ItemsAtOnce = Annotated[int, typer.Option(min=1, help="Items at once through the backbone.")]
TextBackbone = Annotated[str | None, typer.Option(help="Text backbone: name, hub id or folder, such as `minilm`.")]
ImageBackbone = Annotated[str | None, typer.Option(help="Image backbone: name, hub id or folder.")]
VideoBackbone = Annotated[str | None, typer.Option(help="Image backbone for the frames of videos.")]
AudioBackbone = Annotated[str | None, typer.Option(help="Audio backbone, such as facebook/hubert-base-ls960.")]


def cache_settings(*, where: str, fields: Collection[str] = FIELDS) -> Callable[[Callable[..., None]], Any]:
    """Give a verb these fields of `CacheSettings` as options in the place of its keyword-only argument `settings`.

    Name, type, default and help are the field's own. `where` says in refusals whose settings they are.
    """

    def decorated(verb: Callable[..., None]) -> Callable[..., None]:
        parameters = list(inspect.signature(verb, eval_str=True).parameters.values())
        place = next(number for number, each in enumerate(parameters) if each.name == "settings")
        parameters[place : place + 1] = [_parameter(name) for name in fields]

        @wraps(verb)
        def called(**given: Any) -> None:
            chosen = {name: given.pop(name) for name in fields}
            verb(settings=validated(CacheSettings, chosen, where=where), **given)

        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return called

    return decorated


def _parameter(field: str) -> inspect.Parameter:
    info = CacheSettings.model_fields[field]
    typed: dict[str, Any] = {"layers": str, "text_fields": list[str]}
    kind = typed.get(field, info.annotation)
    option = typer.Option(option_of(field), help=info.description)
    return inspect.Parameter(
        field, inspect.Parameter.KEYWORD_ONLY, default=info.default, annotation=Annotated[kind, option]
    )


def named_backbones(backbones: dict[Kind, str | None], *, verb: str) -> dict[Kind, str]:
    """Those of the backbones that are named; raises `RefusedError` for none."""
    named = {kind: name for kind, name in backbones.items() if name}
    if not named:
        raise RefusedError(f"nothing to {verb}: name a backbone with --text, --image, --video or --audio")
    return named
