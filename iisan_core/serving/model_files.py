"""A run's encoders as files of ONNX or `torch.export`: for programs that have neither this package nor its caches.

    user_encoder.onnx   vectors [B, S, W] of a history's items, oldest first, and real [B, S], false where padded on the
                        left → state [B, W]; any B, S up to what the model reads
    item_encoder.onnx   states_NAME [n, ΣD] and present_NAME [n] of every modality → vector [n, W]; any n. A blend of
                        runs has one a member, whose vectors stand side by side
    items.npy           vectors of all items, float32 [N + 1, W], row 0 is padding; item_ids.json: ids of rows 1 … N
    together.npz        starts [N + 2], items and values: what is counted, row by row; absent where nothing is
    serve.py            recommends from these files alone
    export.json         as for exported vectors, and the version of the operators

With `torch.export` the encoders end in `.pt2`.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from iisan_core.config.schema import IDS
from iisan_core.errors import RefusedError
from iisan_core.files import new_folder, write_json, write_text
from iisan_core.model import fused
from iisan_core.model.ensemble import Ensemble
from iisan_core.model.inference import ServedModel
from iisan_core.model.recommender import RecommenderModel
from iisan_core.serving.recommender import Recommender
from iisan_core.serving.serving_program import program_of
from iisan_core.serving.vectors import DESCRIPTION, describe

OPSET = 20
"""Version of ONNX's operators."""

FEW = 3
"""Users, or items, of the example that an encoder is traced with."""


class UserEncoderFile(nn.Module):
    """`newest` for histories of any length: padded to the longest, so that nothing in it depends on the length."""

    def __init__(self, model: ServedModel) -> None:
        super().__init__()
        self.model = model
        self.longest = model.max_history

    def forward(self, vectors: Tensor, real: Tensor) -> Tensor:
        """[B, S, W] and bool [B, S] → [B, W]."""
        padding = self.longest - vectors.shape[1]
        return self.model.newest(F.pad(vectors, (0, 0, padding, 0)), F.pad(real, (padding, 0)))


class ItemEncoderFile(nn.Module):
    """Item vectors of cached states."""

    def __init__(self, model: RecommenderModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, states: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """Modality → [n, ΣD] and bool [n] → [n, W]."""
        return self.model.item_vectors(states, present)


def export_model(recommender: Recommender, out: Path, form: str) -> dict[str, Any]:
    """Write the folder described above; `form`: `onnx` or `torch-export`. Returns what `export.json` says.

    Raises `RefusedError` for another form, where a package is wanting, or if `out` is taken.
    """
    if form not in FORMS:
        raise RefusedError(f"encoders are written as {', '.join(FORMS)}; {form!r} is none of them")
    if form == "onnx" and any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript")):
        raise RefusedError('ONNX files take two more packages: pip install "iisan-workbench[onnx]"')
    ending, write = FORMS[form]
    with new_folder(out) as folder:
        encoders = encoders_of(recommender.model)
        for name, (program, outputs) in encoders.items():
            write(program, folder / f"{name}{ending}", outputs)
        vectors = np.concatenate([np.zeros((1, recommender.width), np.float32), recommender.vectors])
        np.save(folder / "items.npy", vectors, allow_pickle=False)
        write_text(folder / "item_ids.json", json.dumps(recommender.item_ids, ensure_ascii=False))
        if recommender.together is not None:
            similar = recommender.together.similar
            np.savez(folder / "together.npz", starts=similar.indptr, items=similar.indices, values=similar.data)
        says = describe(recommender) | {
            "encoders": [f"{name}{ending}" for name in encoders],
            "opset": OPSET if form == "onnx" else None,
            "arithmetic": "float32",
        }
        write_json(folder / DESCRIPTION, says)
        write_text(folder / "serve.py", program_of(says, form))
    return says


def encoders_of(model: ServedModel) -> dict[str, tuple[ExportedProgram, str]]:
    """The traced encoders by the names of their files, with what each gives."""
    traced = {"user_encoder": (_user_encoder(model), "state")}
    if isinstance(model, RecommenderModel):
        return traced | {"item_encoder": (_item_encoder(model), "vector")}
    assert isinstance(model, Ensemble), "what is served is one model or several"
    members = enumerate(model.models, start=1)
    return traced | {f"item_encoder_{n}": (_item_encoder(member), "vector") for n, member in members}


def _user_encoder(model: ServedModel) -> ExportedProgram:
    width = model.width
    users, length = Dim("users"), Dim("length", min=1, max=max(2, model.max_history))
    vectors = torch.zeros(FEW, min(2, model.max_history), width)
    real = torch.ones(vectors.shape[:2], dtype=torch.bool)
    shapes = {0: users} if model.max_history == 1 else {0: users, 1: length}
    return _traced(UserEncoderFile(model), (vectors, real), (shapes, shapes))


def _item_encoder(model: RecommenderModel) -> ExportedProgram:
    states = {name: torch.zeros(FEW, sum(widths)) for name, widths in model.shape.widths.items()}
    present = {name: torch.ones(FEW, dtype=torch.bool) for name in states}
    if model.shape.items:
        states[IDS] = torch.zeros(FEW, dtype=torch.int64)
    items = {0: Dim("items")}
    return _traced(
        ItemEncoderFile(model), (states, present), (dict.fromkeys(states, items), dict.fromkeys(present, items))
    )


def _traced(module: nn.Module, example: tuple[Any, ...], shapes: tuple[Any, ...]) -> ExportedProgram:
    with torch.no_grad(), fused.off(), _quiet():
        return torch.export.export(module.eval(), example, dynamic_shapes=shapes)


def _write_onnx(program: ExportedProgram, path: Path, output: str) -> None:
    with torch.no_grad(), _quiet():
        made = torch.onnx.export(program, dynamo=True, opset_version=OPSET, output_names=[output], verbose=False)
        assert made is not None, "the exporter gives a program"
        made.save(path)


def _write_pt2(program: ExportedProgram, path: Path, output: str) -> None:
    with _quiet():
        torch.export.save(program, path)


FORMS: dict[str, tuple[str, Callable[[ExportedProgram, Path, str], None]]] = {
    "onnx": (".onnx", _write_onnx),
    "torch-export": (".pt2", _write_pt2),
}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters say to programmers."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
