"""Ready vectors of items as other programs leave them: arrays with the ids of their rows.

| what | ids of the rows |
| --- | --- |
| `.npy` | a file of ids (`--ids`): lines, a table's column, an array; or a mapping of ids to row numbers (MMRec) |
| `.npz`, `.safetensors` | likewise, or an array of ids among them; several others are layers |
| Parquet | its id column; every list column is a layer |
| RecBole's `.itememb` and the like | its token column |
| a folder of one file an item, `.npy`, `.pt` or `.safetensors` | the files' names |
| a `.pt` of id → tensor | its keys |

No order is ever guessed: rows without ids are taken in the catalogue's order only where that is said (`in_order`).
Nothing is unpickled: NumPy's object arrays are refused, and PyTorch's files are read as weights alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iisan_core.errors import RefusedError, first_sentence

Array = NDArray[np.generic]

ID_COLUMNS = ("item_id", "id", "item", "asin", "iid", "itemid", "item_ids", "ids", "keys")
"""What ids are called, where nobody says so; upper and lower case alike."""

ROW_COLUMNS = ("itemid", "row", "index", "number")
"""What the number of a row is called in a mapping, such as MMRec's `i_id_mapping.csv`."""

PER_ITEM = (".npy", ".pt", ".pth", ".safetensors")


@dataclass(frozen=True)
class GivenVectors:
    """Vectors as they were found."""

    arrays: list[Array]
    """One per layer, each `[n, D_l]`, or one `[n, L, D]`."""
    item_ids: list[str] | None
    """Of the rows; None where the file has none."""


def read_vectors(path: Path, *, ids: Path | None = None, column: str | None = None) -> GivenVectors:
    """Read vectors and, from the file itself or from `ids`, the ids of their rows.

    `column` names the id column of a table, or the array of ids in a file of several.
    Raises `RefusedError` for what is no such file, is pickled, or names no ids where it should.
    """
    if not path.exists():
        raise RefusedError(f"no vectors at {path}: there is no such file or folder; correct the path")
    read = _of_folder if path.is_dir() else READERS.get(path.suffix.lower(), _of_atomic)
    found = _in_words(path, lambda: read(path, column))
    if ids is None:
        return found
    if not found.arrays:
        raise RefusedError(f"{path} holds no arrays")
    return GivenVectors(found.arrays, read_ids(ids, rows=len(found.arrays[0]), column=column))


def read_ids(path: Path, *, rows: int, column: str | None = None) -> list[str]:
    """The ids of `rows` rows, in their order: lines of a text file, a column of a table, an array.

    Of a table with ids and row numbers, such as MMRec's mapping, the numbers say which row is whose. Raises
    `RefusedError` where the count does not fit, or numbers are not 0 … rows − 1.
    """
    if not path.is_file():
        raise RefusedError(f"no ids at {path}: there is no such file; correct the path")
    if path.suffix.lower() == ".npy":
        found = [str(value) for value in _in_words(path, lambda: _array(path)).tolist()]
    elif path.suffix.lower() == ".json":
        found = [str(value) for value in _in_words(path, lambda: json.loads(path.read_text(encoding="utf-8")))]
    else:
        table = _in_words(path, lambda: _table(path))
        found = _ids_by_row(table, path, column) if table.width > 1 else table.to_series().cast(pl.String).to_list()
    if len(found) != rows:
        raise RefusedError(f"{path} names {len(found):,} ids for {rows:,} rows; each row needs one id")
    return found


def _table(path: Path) -> pl.DataFrame:
    if path.suffix.lower() == ".parquet":
        return pl.read_parquet(path)
    head = path.read_text(encoding="utf-8-sig").partition("\n")[0]
    separator = next((mark for mark in ("\t", ",", ";") if mark in head), "\t")
    named = any(name.strip().lower() in (*ID_COLUMNS, *ROW_COLUMNS) for name in head.split(separator))
    return pl.read_csv(path, separator=separator, has_header=named, infer_schema=False, quote_char=None)


def _ids_by_row(table: pl.DataFrame, path: Path, column: str | None) -> list[str]:
    numbers = next((name for name in table.columns if name.lower() in ROW_COLUMNS and name != column), None)
    others = [name for name in table.columns if name != numbers]
    name = column or _named(others, ID_COLUMNS) or (others[0] if len(others) == 1 else None)
    if name is None or name not in table.columns:
        raise RefusedError(f"{path}: which of the columns {table.columns} has the ids? Name it with --id-column")
    ids = table[name].cast(pl.String)
    if numbers is None:
        return ids.to_list()
    rows = table[numbers].cast(pl.Int64, strict=False)
    if rows.null_count() or rows.sort().to_list() != list(range(len(rows))):
        raise RefusedError(f"{path}: the column {numbers!r} should number the rows 0 to {len(rows) - 1}, each once")
    return ids.gather(rows.arg_sort()).to_list()


def _of_npy(path: Path, column: str | None) -> GivenVectors:
    return GivenVectors([_array(path)], None)


def _array(path: Path) -> Array:
    found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def _of_npz(path: Path, column: str | None) -> GivenVectors:
    with np.load(path, allow_pickle=False) as file:
        return _of_arrays({name: file[name] for name in file.files}, path, column)


def _of_safetensors(path: Path, column: str | None) -> GivenVectors:
    return _of_arrays(_tensors(path), path, column)


def _tensors(path: Path) -> dict[str, Array]:
    import torch
    from safetensors.torch import load_file

    return {
        name: (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        for name, tensor in load_file(path).items()
    }


def _of_arrays(arrays: Mapping[str, Array], path: Path, column: str | None) -> GivenVectors:
    """Arrays by name: one of ids and layers, or one vector an item under its id."""
    named = column or next((name for name in arrays if name.lower() in ID_COLUMNS and arrays[name].ndim == 1), None)
    if named is not None:
        if named not in arrays:
            raise RefusedError(f"{path} has no array {named!r}; it has {', '.join(arrays)}")
        others = [array for name, array in arrays.items() if name != named]
        return GivenVectors(others, [_text(value) for value in arrays[named].tolist()])
    if arrays and len({array.shape for array in arrays.values()}) == 1 and next(iter(arrays.values())).ndim == 1:
        return _stacked(arrays.items(), path)
    return GivenVectors(list(arrays.values()), None)


def _of_parquet(path: Path, column: str | None) -> GivenVectors:
    table = pl.read_parquet(path)
    lists = [name for name, kind in table.schema.items() if isinstance(kind, pl.List | pl.Array)]
    others = [name for name in table.columns if name not in lists]
    name = column or _named(others, ID_COLUMNS) or (others[0] if len(others) == 1 else None)
    if name is None or name not in table.columns:
        raise RefusedError(f"{path}: which of the columns {table.columns} has the ids? Name it with --id-column")
    if not lists:
        raise RefusedError(f"{path} has no column of lists of numbers; it has {dict(table.schema)}")
    table = table.drop_nulls(lists)
    return GivenVectors([_matrix(table[each], path) for each in lists], table[name].cast(pl.String).to_list())


def _matrix(lists: pl.Series, path: Path) -> Array:
    plain = lists.arr.to_list() if isinstance(lists.dtype, pl.Array) else lists
    lengths = plain.list.len().unique().to_list()
    if len(lengths) != 1:
        raise RefusedError(f"{path}: the lists of {lists.name!r} have {sorted(lengths)[:3]} … numbers; one length only")
    flat: Array = plain.explode().to_numpy().reshape(-1, lengths[0])
    return flat


def _of_atomic(path: Path, column: str | None) -> GivenVectors:
    """RecBole's atomic files: a header of `name:type`, an id, and numbers between spaces."""
    with path.open(encoding="utf-8") as file:
        head = next(file, "").rstrip("\n").split("\t")
        kinds = [name.rpartition(":")[2] for name in head]
        if len(head) < 2 or "token" not in kinds or "float_seq" not in kinds:
            raise RefusedError(
                f"{path} is none of the files that are read: .npy, .npz, .parquet, .safetensors, .pt, a folder of one "
                "file an item, or RecBole's atomic file with a token and a float_seq column"
            )
        own, numbers = kinds.index("token"), kinds.index("float_seq")
        lines = [line.rstrip("\n").split("\t") for line in file if line.strip()]
    return _stacked(((line[own], np.array(line[numbers].split(" "), np.float32)) for line in lines), path)


def _of_torch(path: Path, column: str | None) -> GivenVectors:
    loaded = _weights(path)
    if isinstance(loaded, Mapping):
        return _of_arrays({str(key): value for key, value in loaded.items()}, path, column)
    return GivenVectors([loaded], None)


def _weights(path: Path) -> Any:
    import torch

    loaded = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(loaded, torch.Tensor):
        return loaded.float().numpy() if loaded.dtype == torch.bfloat16 else loaded.numpy()
    if isinstance(loaded, Mapping) and all(isinstance(value, torch.Tensor) for value in loaded.values()):
        return {key: (v.float() if v.dtype == torch.bfloat16 else v).numpy() for key, v in loaded.items()}
    raise RefusedError(f"{path} holds {type(loaded).__name__}, not a tensor, nor tensors by item id")


def _of_folder(path: Path, column: str | None) -> GivenVectors:
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in PER_ITEM)
    if not files:
        raise RefusedError(f"{path} holds no file of {', '.join(PER_ITEM)}; one an item is wanted, named by its id")
    return _stacked(((file.stem, _in_words(file, lambda file=file: _one(file))) for file in files), path)  # type: ignore[misc]


def _one(path: Path) -> Array:
    """The vector, or the layers, of one item."""
    if path.suffix.lower() == ".npy":
        found = np.load(path, allow_pickle=False)
    else:
        loaded = _tensors(path) if path.suffix.lower() == ".safetensors" else _weights(path)
        found = next(iter(loaded.values())) if isinstance(loaded, Mapping) and len(loaded) == 1 else loaded
    if not isinstance(found, np.ndarray):
        raise RefusedError(f"{path} holds several tensors; one vector an item is wanted")
    while found.ndim > 1 and found.shape[0] == 1:
        found = found[0]
    return found


def _stacked(vectors: Any, path: Path) -> GivenVectors:
    """Vectors of single items → rows; raises `RefusedError` where their shapes differ."""
    ids, rows = [], []
    for item_id, vector in vectors:
        ids.append(str(item_id))
        rows.append(vector)
        if rows[0].shape != vector.shape:
            raise RefusedError(
                f"{path}: the vector of {item_id!r} has the shape {list(vector.shape)}, that of {ids[0]!r} "
                f"{list(rows[0].shape)}; all must be alike"
            )
    if not rows:
        raise RefusedError(f"{path} holds no vectors")
    return GivenVectors([np.stack(rows)], ids)


def _named(columns: Sequence[str], names: Sequence[str]) -> str | None:
    by_name = {column.lower(): column for column in columns}
    return next((by_name[name] for name in names if name in by_name), None)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _in_words(path: Path, read: Callable[[], Any]) -> Any:
    """What `read` reads; whatever libraries raise on other or damaged files, as one sentence."""
    try:
        return read()
    except RefusedError:
        raise
    except Exception as error:
        if any(word in str(error).lower() for word in ("pickle", "weights_only", "python objects")):
            raise RefusedError(
                f"{path} holds pickled objects, which are programs; save the numbers alone (a plain array, tensors)"
            ) from None
        raise RefusedError(f"{path} cannot be read as vectors: {first_sentence(error)}") from None


READERS: dict[str, Callable[[Path, str | None], GivenVectors]] = {
    ".npy": _of_npy,
    ".npz": _of_npz,
    ".safetensors": _of_safetensors,
    ".parquet": _of_parquet,
    ".pt": _of_torch,
    ".pth": _of_torch,
}
