"""Vectors as other programs leave them: every form gives the same rows by the same ids, and none is guessed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from data_tools.vectors import read_vectors
from iisan_core.errors import RefusedError

IDS = ["b", "a", "10"]
ROWS = np.arange(12, dtype=np.float32).reshape(3, 4) / 7
Maker = Callable[[Path], tuple[Path, Path | None]]


def npy_with_lines(folder: Path) -> tuple[Path, Path | None]:
    np.save(folder / "v.npy", ROWS)
    (folder / "ids.txt").write_text("\n".join(IDS) + "\n")
    return folder / "v.npy", folder / "ids.txt"


def npy_with_an_array(folder: Path) -> tuple[Path, Path | None]:
    np.save(folder / "v.npy", ROWS)
    np.save(folder / "ids.npy", np.array(IDS))
    return folder / "v.npy", folder / "ids.npy"


def npy_with_json(folder: Path) -> tuple[Path, Path | None]:
    np.save(folder / "v.npy", ROWS)
    (folder / "ids.json").write_text(json.dumps(IDS))
    return folder / "v.npy", folder / "ids.json"


def mmrec(folder: Path) -> tuple[Path, Path | None]:
    """`image_feat.npy` by row number, and which id has which."""
    np.save(folder / "image_feat.npy", ROWS)
    lines = [f"{IDS[row]}\t{row}" for row in (2, 0, 1)]
    (folder / "i_id_mapping.csv").write_text("\n".join(["asin\titemID", *lines]) + "\n")
    return folder / "image_feat.npy", folder / "i_id_mapping.csv"


def npz(folder: Path) -> tuple[Path, Path | None]:
    np.savez(folder / "v.npz", item_ids=np.array(IDS), vectors=ROWS)
    return folder / "v.npz", None


def parquet(folder: Path) -> tuple[Path, Path | None]:
    pl.DataFrame({"item_id": IDS, "vector": ROWS.tolist()}).write_parquet(folder / "v.parquet")
    return folder / "v.parquet", None


def parquet_of_arrays(folder: Path) -> tuple[Path, Path | None]:
    table = pl.DataFrame({"sku": IDS, "vector": ROWS}, schema_overrides={"vector": pl.Array(pl.Float32, 4)})
    table.write_parquet(folder / "v.parquet")
    return folder / "v.parquet", None


def safetensors_by_item(folder: Path) -> tuple[Path, Path | None]:
    save_file({item_id: ROWS[n] for n, item_id in enumerate(IDS)}, folder / "v.safetensors")
    return folder / "v.safetensors", None


def recbole(folder: Path) -> tuple[Path, Path | None]:
    lines = [f"{item_id}\t{' '.join(map(str, ROWS[n].tolist()))}" for n, item_id in enumerate(IDS)]
    (folder / "shop.itememb").write_text("\n".join(["iid:token\titem_emb:float_seq", *lines]) + "\n")
    return folder / "shop.itememb", None


def one_file_an_item(folder: Path) -> tuple[Path, Path | None]:
    (folder / "items").mkdir()
    np.save(folder / "items" / "b.npy", ROWS[0])
    torch.save(torch.from_numpy(ROWS[1][None].copy()), folder / "items" / "a.pt")
    save_file({"state": ROWS[2]}, folder / "items" / "10.safetensors")
    return folder / "items", None


def torch_by_item(folder: Path) -> tuple[Path, Path | None]:
    torch.save({item_id: torch.from_numpy(ROWS[n].copy()) for n, item_id in enumerate(IDS)}, folder / "v.pt")
    return folder / "v.pt", None


FORMS: list[Maker] = [
    npy_with_lines, npy_with_an_array, npy_with_json, mmrec, npz, parquet, parquet_of_arrays, safetensors_by_item,
    recbole, one_file_an_item, torch_by_item,
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_form_gives_each_id_its_row(tmp_path: Path, form: Maker) -> None:
    path, ids = form(tmp_path)
    found = read_vectors(path, ids=ids)
    assert found.item_ids is not None
    assert sorted(found.item_ids) == sorted(IDS)
    (rows,) = found.arrays
    for item_id, row in zip(found.item_ids, rows, strict=True):
        np.testing.assert_allclose(np.asarray(row, np.float32), ROWS[IDS.index(item_id)], rtol=1e-6)


def test_several_arrays_are_layers(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", ids=np.array(IDS), first=ROWS, second=ROWS[:, :2])
    assert [array.shape for array in read_vectors(tmp_path / "v.npz").arrays] == [(3, 4), (3, 2)]
    pl.DataFrame({"id": IDS, "a": ROWS.tolist(), "b": ROWS.tolist()}).write_parquet(tmp_path / "v.parquet")
    assert [array.shape for array in read_vectors(tmp_path / "v.parquet").arrays] == [(3, 4), (3, 4)]
    layered = {item_id: torch.zeros(2, 4) for item_id in IDS}
    (tmp_path / "items").mkdir()
    for item_id, tensor in layered.items():
        torch.save(tensor, tmp_path / "items" / f"{item_id}.pt")
    (rows,) = read_vectors(tmp_path / "items").arrays
    assert rows.shape == (3, 2, 4)


def test_an_array_alone_has_no_ids(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", ROWS)
    assert read_vectors(tmp_path / "v.npy").item_ids is None


def saved(path: Path, content: NDArray[np.generic] | bytes) -> Path:
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    return path


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v.npy", np.array([{"a": 1}], dtype=object), "holds pickled objects, which are programs"),
        ("v.npy", b"no array", "cannot be read as vectors|pickled"),
        ("v.npz", b"no array", "cannot be read as vectors|pickled"),
        ("v.parquet", b"no table", "cannot be read as vectors"),
        ("v.safetensors", b"no tensors", "cannot be read as vectors"),
        ("v.csv", b"a,b\n1,2\n", "none of the files that are read"),
    ],
)
def test_other_and_damaged_files_are_refused(
    tmp_path: Path, name: str, content: NDArray[np.generic] | bytes, message: str
) -> None:
    with pytest.raises(RefusedError, match=message) as refused:
        read_vectors(saved(tmp_path / name, content))
    assert "\n" not in str(refused.value)


class Harmful:
    """What a pickle would run."""


def test_a_torch_file_is_read_as_weights_alone(tmp_path: Path) -> None:
    torch.save({"a": Harmful()}, tmp_path / "v.pt")
    with pytest.raises(RefusedError, match="holds pickled objects, which are programs"):
        read_vectors(tmp_path / "v.pt")
    torch.save({"epoch": 3}, tmp_path / "v.pt")
    with pytest.raises(RefusedError, match="holds dict, not a tensor, nor tensors by item id"):
        read_vectors(tmp_path / "v.pt")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ("a\nb\n", "names 2 ids for 3 rows"),
        ("asin\titemID\na\t0\nb\t2\nc\t2\n", "'itemID' should number the rows 0 to 2, each once"),
        ("x,y\n1,2\n3,4\n5,6\n", "which of the columns .* has the ids"),
    ],
)
def test_ids_that_do_not_fit(tmp_path: Path, ids: str, message: str) -> None:
    np.save(tmp_path / "v.npy", ROWS)
    (tmp_path / "ids.csv").write_text(ids)
    with pytest.raises(RefusedError, match=message):
        read_vectors(tmp_path / "v.npy", ids=tmp_path / "ids.csv")
    with pytest.raises(RefusedError, match="no ids at"):
        read_vectors(tmp_path / "v.npy", ids=tmp_path / "nowhere")
    with pytest.raises(RefusedError, match="no vectors at"):
        read_vectors(tmp_path / "nowhere.npy")


def test_unequal_vectors_are_named(tmp_path: Path) -> None:
    (tmp_path / "items").mkdir()
    np.save(tmp_path / "items" / "a.npy", ROWS[0])
    np.save(tmp_path / "items" / "b.npy", ROWS[0, :2])
    with pytest.raises(RefusedError, match=r"vector of 'b' has the shape \[2\], that of 'a' \[4\]"):
        read_vectors(tmp_path / "items")
