"""A run's item vectors where they are searched: in an index, or an embedded database that one of its kind takes over.

Databases hold a table, or collection, `items`: `item_id`, `vector`, and of the catalogue the title. The measure is the
inner product with a user's vector, which is the score but for what is counted (`together.parquet`, beside them).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from iisan_core.errors import RefusedError
from iisan_core.files import new_folder, write_json, write_text
from iisan_core.serving.bulk import array_of
from iisan_core.serving.index import WANTED_RECALL, Choice, VectorIndex
from iisan_core.serving.recommender import Recommender
from iisan_core.serving.vectors import DESCRIPTION, describe, readme, together_frame

TABLE = "items"
MOST_QUERIES = 256
"""Users on whom an index is measured."""

AT_ONCE = 1000
"""Items that are handed over at once."""


def index_of(recommender: Recommender, *, kind: Choice = "auto", recall: float = WANTED_RECALL) -> VectorIndex:
    """An index of a recommender's items, measured on some of its users; raises as `VectorIndex.build` does."""
    users = recommender.users
    asked = users.gather_every(max(1, len(users) // MOST_QUERIES)).head(MOST_QUERIES)
    queries = array_of(recommender.user_vectors(asked.to_list()))
    return VectorIndex.build(recommender.vectors, queries, kind=kind, recall=recall)


def export_store(recommender: Recommender, out: Path, kind: str) -> dict[str, Any]:
    """Write a new folder with a database of a `kind` of `STORES`; returns what `export.json` says.

    Raises `RefusedError` for another kind, where its package is not installed, or if `out` is taken.
    """
    if kind not in STORES:
        raise RefusedError(f"vectors go to the databases {', '.join(STORES)}; {kind!r} is none of them")
    package, write = STORES[kind]
    if importlib.util.find_spec(package) is None:
        raise RefusedError(f'this takes {package}: pip install "iisan-workbench[{kind}]"')
    titles = recommender.dataset.items.select("item_id", "title")
    items = recommender.item_vectors().join(titles, on="item_id", how="left", maintain_order="left")
    with new_folder(out) as folder:
        write(items, folder / kind)
        files = {"items": [f"{kind}/"]}
        if recommender.together is not None:
            together_frame(recommender.together, recommender.item_ids).write_parquet(folder / "together.parquet")
            files["together"] = ["together.parquet"]
        says = describe(recommender) | {"files": files, "items": items.height, "table": TABLE, "measure": "dot"}
        write_json(folder / DESCRIPTION, says)
        write_text(folder / "README.md", readme(says))
    return says


def _qdrant(items: pl.DataFrame, path: Path) -> None:
    from qdrant_client import QdrantClient
    from qdrant_client.models import Distance, PointStruct, VectorParams

    client = QdrantClient(path=str(path))
    try:
        width = items.schema["vector"].shape[0]  # type: ignore[attr-defined]
        client.create_collection(TABLE, vectors_config=VectorParams(size=width, distance=Distance.DOT))
        for first, rows in _blocks(items):
            points = [
                PointStruct(id=first + n, vector=row["vector"], payload={k: row[k] for k in ("item_id", "title")})
                for n, row in enumerate(rows.iter_rows(named=True))
            ]
            client.upsert(TABLE, points=points)
    finally:
        client.close()


def _lancedb(items: pl.DataFrame, path: Path) -> None:
    import lancedb

    lancedb.connect(str(path)).create_table(TABLE, data=items.to_arrow())


def _blocks(items: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    for first in range(0, items.height, AT_ONCE):
        yield first, items[first : first + AT_ONCE]


STORES: dict[str, tuple[str, Callable[[pl.DataFrame, Path], None]]] = {
    "qdrant": ("qdrant_client", _qdrant),
    "lancedb": ("lancedb", _lancedb),
}
"""Kind → the package that it takes, and how it is written."""
