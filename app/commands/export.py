"""`iisan export`: a run's vectors and encoders as files that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

import iisan_core
from app.commands.console import JsonFlag, note, print_json
from app.commands.options import RunPath

Target: TypeAlias = Literal["parquet", "safetensors", "npy", "onnx", "torch-export", "faiss", "qdrant", "lancedb"]


def export(
    run: RunPath,
    to: Annotated[Target, typer.Option("--to", help="What to write.")],
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    users: Annotated[bool, typer.Option(help="Beside items' vectors, write those of all users.")] = True,
    as_json: JsonFlag = False,
) -> None:
    """Write what other programs need of a run into a new folder.

    parquet, safetensors and npy are item and user vectors, and in words how a score is made of them. onnx (extra
    `onnx`) and torch-export are the encoders, with a short program that recommends from them. faiss is an index for
    `iisan recommend --index`; qdrant and lancedb are embedded databases (an extra each).

    Example: iisan export workspace/runs/demo --to parquet --out vectors
    """
    from iisan_core.serving import model_files, stores, vectors

    recommender = iisan_core.Recommender.load(run)
    if to in model_files.FORMS:
        says = model_files.export_model(recommender, out, to)
        note(f"wrote {out}; `python {out / 'serve.py'} ITEM …` recommends from it")
    elif to == "faiss":
        index = stores.index_of(recommender)
        index.save(out)
        says = index.facts.model_dump(mode="json")
        note(f"wrote {out}: {index.facts.kind}, which finds {index.facts.recall:.1%} of the best ten by product")
    elif to in stores.STORES:
        says = stores.export_store(recommender, out, to)
        note(f"wrote {out}; README.md there says what is in it")
    else:
        says = vectors.export_vectors(recommender, out, to, users=users)
        note(f"wrote {out}; README.md there says what is in it")
    if as_json:
        print_json(says)
