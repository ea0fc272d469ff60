"""Options that several verbs share, and what their help says of the library.

Help texts need no library. What is listed by modules that import torch or polars stands here once more; a test holds
the two equal.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import typer
from annotated_types import Ge
from pydantic.fields import FieldInfo

from app.extraction_options import option_of
from iisan_core.config.schema import DeviceChoice, Strict, validated
from iisan_core.errors import RefusedError

Arithmetic: TypeAlias = Literal["auto", "float32", "bfloat16"]
Quantization: TypeAlias = Literal["4bit", "8bit"]
By: TypeAlias = Literal["popularity", "length", "repeat"]
Subset: TypeAlias = Literal["valid", "test"]
Conflicts: TypeAlias = Literal["refuse", "first", "last"]
Quoting: TypeAlias = Literal["double", "none", "backslash"]
Modality = TypeVar("Modality", bound=str)
STUDIES = ("ablation", "asymmetric", "balance", "baselines", "layers", "robustness", "scaling", "search")
SPACES = ("rates", "training", "model", "all")
KINDS = (
    "iisan-tsv", "movielens", "microlens", "amazon-2014", "amazon-2018", "amazon-2023", "yelp", "goodreads",
    "h-and-m", "mmrec", "mind", "recbole", "table", "huggingface",
)  # fmt: skip
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
BackbonePrecision = Annotated[
    Arithmetic, typer.Option(help="Arithmetic of the backbone; `auto`: bfloat16 beyond a billion parameters.")
]
TextBackbone = Annotated[str | None, typer.Option(help="Text backbone: name, hub id or folder, such as `minilm`.")]
ImageBackbone = Annotated[str | None, typer.Option(help="Image backbone: name, hub id or folder.")]
VideoBackbone = Annotated[str | None, typer.Option(help="Image backbone for the frames of videos.")]
JointBackbone = Annotated[
    str | None, typer.Option(help="Vision-language model that reads picture and text together, such as `qwen3-vl-2b`.")
]
AudioBackbone = Annotated[str | None, typer.Option(help="Audio backbone, such as facebook/hubert-base-ls960.")]


def from_fields(
    model: type[Strict],
    *,
    argument: str,
    where: str,
    fields: Collection[str] | None = None,
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb fields of `model` (unset: all) as options, in the place of a keyword-only argument that is a `model`.

    Name, type, limits, help and, where `defaults` has none, the default are the field's own. `where` says in refusals
    whose settings they are.
    """
    infos = {name: info for name, info in model.model_fields.items() if fields is None or name in fields}

    def decorated(verb: Callable[..., None]) -> Callable[..., None]:
        parameters = list(inspect.signature(verb, eval_str=True).parameters.values())
        place = [parameter.name for parameter in parameters].index(argument)
        own = [_parameter(name, info, defaults.get(name, info.default)) for name, info in infos.items()]

        @wraps(verb)
        def called(**given: Any) -> None:
            chosen = {name: given.pop(name) for name in infos}
            verb(**given, **{argument: validated(model, chosen, where=where)})

        called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [*parameters[:place], *own, *parameters[place + 1 :]]
        )
        return called

    return decorated


def _parameter(name: str, info: FieldInfo, default: Any) -> inspect.Parameter:
    kind: Any = {"layers": str, "text_fields": list[str]}.get(name, info.annotation)
    least = next((limit.ge for limit in info.metadata if isinstance(limit, Ge)), None)
    says = (info.description or "").removesuffix(".") + ("; repeatable." if kind == list[str] else ".")
    option = typer.Option(option_of(name), help=says, min=least)  # type: ignore[arg-type]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


def named_backbones(backbones: dict[Modality, str | None], *, verb: str) -> dict[Modality, str]:
    """Those of the backbones that are named; raises `RefusedError` for none."""
    named = {modality: name for modality, name in backbones.items() if name}
    if not named:
        raise RefusedError(f"nothing to {verb}: name a backbone with --text, --image, --video, --audio or --joint")
    return named
