"""`iisan data vectors`: vectors that something else has made, as a cache like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

import iisan_core
from app.commands.console import JsonFlag, note, print_json, print_table, shortened
from app.commands.options import DatasetFolder
from iisan_core.errors import RefusedError


def vectors_of_data(
    dataset: DatasetFolder,
    source: Annotated[
        Path, typer.Option("--from", metavar="FILE", help="Vectors: a file, or a folder of one an item.")
    ],
    called: Annotated[str, typer.Option("--as", metavar="NAME", help="What a run calls these states, such as image.")],
    ids: Annotated[
        Path | None, typer.Option(help="Ids of the rows: lines, a table, an array, or a mapping of ids to row numbers.")
    ] = None,
    id_column: Annotated[str | None, typer.Option(help="Column, or array, that has the ids.")] = None,
    in_order: Annotated[
        bool, typer.Option("--in-order", help="The rows are the catalogue's items in its order; there must be as many.")
    ] = False,
    made_by: Annotated[str | None, typer.Option(help="Who or what made them; unset: the file's name.")] = None,
    dtype: Annotated[
        Literal["float16", "bfloat16", "float32"] | None, typer.Option(help="Number format; unset: as they are.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a cache of ready vectors: .npy, .npz, Parquet, safetensors, .pt, RecBole's atomic files, one file an item.

    They train, serve and explain like extracted states. Items without a vector count as lacking it.

    Example: iisan data vectors workspace/datasets/mine --from image_feat.npy --ids i_id_mapping.csv --as image
    """
    from data_tools.vectors import read_vectors

    data = iisan_core.Dataset.load(dataset)
    found = read_vectors(source, ids=ids, column=id_column)
    item_ids = found.item_ids
    if item_ids is None:
        catalogue = data.items["item_id"].to_list()
        if not in_order:
            raise RefusedError(
                f"{source} does not say whose its {len(found.arrays[0]):,} rows are; name a file of ids with --ids, or "
                f"say --in-order where they are the {len(catalogue):,} items of the catalogue in its order"
            )
        item_ids = catalogue
    cache = iisan_core.HiddenStateCache.from_arrays(
        data,
        found.arrays[0] if len(found.arrays) == 1 else found.arrays,
        item_ids=item_ids,
        modality=called,
        made_by=made_by or source.name,
        folder=iisan_core.Workspace.default().caches(data),
        dtype=dtype,
    )
    manifest = cache.manifest
    unknown = len(set(item_ids) - set(cache.item_ids))
    facts = {
        "cache": str(cache.folder),
        "modality": manifest.modality,
        "made_by": manifest.backbone,
        "widths": list(manifest.widths),
        "dtype": manifest.dtype,
        "items": manifest.items,
        "items_without": len(cache.absent),
        "unknown_ids": unknown,
    }
    if as_json:
        print_json(facts)
    else:
        print_table(("vectors", called), [(name, value) for name, value in facts.items() if name != "cache"])
    note(f"{called} cache {shortened(cache.folder)}; train on it like on extracted states")
