"""In which numbers a backbone's weights are held and multiplied."""

from __future__ import annotations

import importlib.util
from typing import Any, Literal, TypeAlias

import torch
from transformers import BitsAndBytesConfig

from iisan_core.backbones.base import ComputeDtype
from iisan_core.errors import RefusedError

Arithmetic: TypeAlias = Literal["auto", "float32", "bfloat16"]
Quantization: TypeAlias = Literal["4bit", "8bit"]

LARGE = 1_000_000_000
"""Parameters beyond which `auto` halves the numbers: such models are trained in bfloat16, and float32 would double
their memory for nothing."""

FORMATS: dict[Quantization, str] = {"4bit": "nf4", "8bit": "int8"}
"""What quantized weights are called in a cache's revision: their states are not those of the whole weights."""


def chosen_dtype(arithmetic: Arithmetic, *, parameters: int) -> ComputeDtype:
    """`auto`: float32 up to a billion parameters, bfloat16 beyond. The machine does not enter, so caches agree."""
    if arithmetic != "auto":
        return arithmetic
    return "bfloat16" if parameters > LARGE else "float32"


def quantized(quantization: Quantization, compute_dtype: ComputeDtype) -> dict[str, Any]:
    """Arguments of `from_pretrained` for weights in 4 (NormalFloat, twice quantized) or 8 bits by bitsandbytes.

    Raises `RefusedError` where bitsandbytes is not installed.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise RefusedError(
            f"{quantization} weights need bitsandbytes, which is not installed: "
            'pip install "iisan-workbench[quantized]"'
        )
    if quantization == "8bit":
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)}
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, compute_dtype),
    )
    return {"quantization_config": config}
