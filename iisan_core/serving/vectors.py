"""A run's vectors for other programs: a folder of plain files, and in words how a score is made of them.

    items.*           item ids and vectors, in one order
    users.*           user ids and states of everybody of whom the run knows an item; absent where not asked for
    together.parquet  item_id, with_item_id, similarity: what is counted; absent where the run counts nothing
    export.json       widths, columns, weights, and how a score is made
    README.md         the same for people

A score is the inner product of a user's state and an item's vector and, where something is counted, what
`together.parquet` adds. Nothing in such a folder is code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import save_file

from iisan_core.errors import RefusedError
from iisan_core.files import new_folder, write_json, write_text
from iisan_core.model.ensemble import Ensemble
from iisan_core.model.inference import ServedModel
from iisan_core.model.together import Together
from iisan_core.serving.bulk import array_of
from iisan_core.serving.recommender import Recommender

DESCRIPTION = "export.json"
FORMAT_VERSION = 1


def export_vectors(recommender: Recommender, out: Path, form: str, *, users: bool = True) -> dict[str, Any]:
    """Write the folder described above in a `form` of `FORMS`; returns what `export.json` says.

    Raises `RefusedError` for another form, or if `out` is taken.
    """
    if form not in FORMS:
        raise RefusedError(f"vectors are written as {', '.join(FORMS)}; {form!r} is none of them")
    tables = {"item": recommender.item_vectors()}
    if users:
        tables["user"] = recommender.user_vectors()
    with new_folder(out) as folder:
        files = {}
        for name, table in tables.items():
            files[f"{name}s"] = FORMS[form](folder / f"{name}s", f"{name}_id", table)
        if recommender.together is not None:
            together_frame(recommender.together, recommender.item_ids).write_parquet(folder / "together.parquet")
            files["together"] = ["together.parquet"]
        says = describe(recommender) | {
            "files": files,
            "items": tables["item"].height,
            "users": tables["user"].height if users else None,
        }
        write_json(folder / DESCRIPTION, says)
        write_text(folder / "README.md", readme(says))
    return says


def _parquet(path: Path, name: str, table: pl.DataFrame) -> list[str]:
    table.write_parquet(path.with_suffix(".parquet"))
    return [f"{path.name}.parquet"]


def _npy(path: Path, name: str, table: pl.DataFrame) -> list[str]:
    np.save(path.with_suffix(".npy"), array_of(table), allow_pickle=False)
    return [f"{path.name}.npy", *_ids(path, name, table)]


def _safetensors(path: Path, name: str, table: pl.DataFrame) -> list[str]:
    save_file({"vectors": array_of(table)}, path.with_suffix(".safetensors"), {"ids": f"{path.name}_ids.parquet"})
    return [f"{path.name}.safetensors", *_ids(path, name, table)]


def _ids(path: Path, name: str, table: pl.DataFrame) -> list[str]:
    table.select(name).write_parquet(path.with_name(f"{path.name}_ids.parquet"))
    return [f"{path.name}_ids.parquet"]


FORMS: dict[str, Callable[[Path, str, pl.DataFrame], list[str]]] = {
    "parquet": _parquet,
    "safetensors": _safetensors,
    "npy": _npy,
}


def together_frame(together: Together, item_ids: Sequence[str]) -> pl.DataFrame:
    """What is counted, as a table: `item_id` of a history, `with_item_id` that it stands with, `similarity`."""
    entries = together.similar.tocoo()
    ids = pl.Series(["", *item_ids])
    columns = {
        "item_id": ids.gather(pl.Series(entries.row)),
        "with_item_id": ids.gather(pl.Series(entries.col)),
        "similarity": pl.Series(entries.data, dtype=pl.Float32),
    }
    return pl.DataFrame(columns)


def describe(recommender: Recommender) -> dict[str, Any]:
    """What a program must know to make scores of vectors."""
    together = recommender.together
    counted = None
    if together is not None:
        counted = {"weight": together.weight, "recency": together.recency, "newest": together.newest}
    return {
        "format_version": FORMAT_VERSION,
        "made_of": "an IISAN run",
        "width": recommender.width,
        "dtype": "float32",
        "columns": columns_of(recommender.model),
        "score": "inner product of a user's vector and an item's" + (", and what is counted" if counted else ""),
        "counted": counted,
        "newest_items_read": recommender.model.max_history,
    }


def columns_of(model: ServedModel) -> dict[str, list[int]]:
    """What stands in which columns of item vectors and user states: name → first, and the one after the last."""
    if isinstance(model, Ensemble):
        return {f"member {n}": [c.start, c.stop] for n, c in enumerate(model.columns, start=1)}
    frozen = {f"frozen {name}": [c.start, c.stop] for name, c in model.frozen_columns.items()}
    return {"learned": [0, model.learned_width], **frozen}


def readme(says: dict[str, Any]) -> str:
    """The same for people."""
    parts = "\n".join(f"| {name} | {first} to {end - 1} |" for name, (first, end) in says["columns"].items())
    files = "\n".join(f"- {what}: {', '.join(f'`{name}`' for name in names)}" for what, names in says["files"].items())
    text = (
        f"# Vectors of a recommender\n\nUnit of a score: none; only the order counts. All vectors are float32 of "
        f"{says['width']:,} numbers.\n\n{files}\n\n| part of a vector | columns |\n| --- | --- |\n{parts}\n\n"
        "The score of an item for a user is the inner product of their vectors, over all columns"
    )
    if (counted := says["counted"]) is None:
        return f"{text}. Items of the user's history are left out of recommendations.\n"
    return (
        f"{text}, plus what is counted: for each of the newest {counted['newest']} items of the user's history, "
        f"{counted['weight']:.9g} × {counted['recency']:.9g}^age × its `similarity` with the item in "
        "`together.parquet` (`age` 0 is the newest item; no row, no similarity). Items of the user's history are left "
        "out of recommendations.\n"
    )
