"""Splits that somebody else has made: files of interactions become labels of the log."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from data_tools.given_split import split_as_given
from data_tools.writing import write_dataset
from iisan_core.config.schema import ProtocolConfig
from iisan_core.data.dataset import Dataset
from iisan_core.data.split import split
from iisan_core.errors import RefusedError

LOG = {"u": "abcdef", "v": "cdefgg"}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    rows = [(user, item, 100 + time) for user, items in LOG.items() for time, item in enumerate(items)]
    return write_dataset(
        tmp_path / "data",
        name="letters",
        source="made by a test",
        items=pl.DataFrame({"item_id": list("abcdefg"), "title": list("abcdefg")}),
        interactions=pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row"),
    )


def written(folder: Path, name: str, *lines: str, header: str = "user_id,item_id") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_files_become_labels_and_the_rest_trains(dataset: Dataset, tmp_path: Path) -> None:
    files = {
        "valid": written(tmp_path, "valid.csv", "u,b"),
        "test": written(tmp_path, "test.csv", "u,d", "u,f", "v,e"),
    }
    assert split_as_given(dataset, files) == {"train": 8, "valid": 1, "test": 3}
    again = Dataset.load(dataset.folder)
    assert again.interactions.drop("subset").equals(dataset.interactions)
    kept = split(again, ProtocolConfig(split="given", target="rest"))
    rows, items = kept.relevant("test").flat()
    found = [[kept.item_ids[n - 1] for n in items[rows == row]] for row in range(2)]
    assert (kept.users("test").to_list(), found) == (["u", "v"], [["d", "f"], ["e"]])
    rows, items = kept.train.flat()
    assert "".join(kept.item_ids[n - 1] for n in items[rows == 0]) == "ace"
    assert split_as_given(again, files)["test"] == 3, "and a second time over the first"


def test_times_tell_repeated_items_apart(dataset: Dataset, tmp_path: Path) -> None:
    valid = written(tmp_path, "valid.csv", "u,b")
    ambiguous = written(tmp_path, "test.csv", "v,g")
    with pytest.raises(
        RefusedError, match=r"test.csv: user 'v' and item 'g' stands in the log several times.* add the"
    ):
        split_as_given(dataset, {"valid": valid, "test": ambiguous})
    exact = written(tmp_path, "exact.csv", "v,g,105", header="user_id,item_id,timestamp")
    split_as_given(dataset, {"valid": valid, "test": exact})
    assert Dataset.load(dataset.folder).interactions["subset"].to_list()[-2:] == ["train", "test"]


@pytest.mark.parametrize(
    ("test", "train", "said"),
    [
        (["u,z"], None, r"test.csv names 1 interactions that the log lacks, such as user 'u' and item 'z'"),
        (["u,b"], None, r"valid.csv and .*test.csv both name user 'u' and item 'b'"),
        (["u,f"], ["u,a"], r"10 interactions of .* are in none of the files, the first is user 'u' and item 'c'; comp"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    dataset: Dataset, tmp_path: Path, test: list[str], train: list[str] | None, said: str
) -> None:
    files = {"valid": written(tmp_path, "valid.csv", "u,b"), "test": written(tmp_path, "test.csv", *test)}
    if train is not None:
        files["train"] = written(tmp_path, "train.csv", *train)
    before = (dataset.folder / "interactions.parquet").read_bytes()
    with pytest.raises(RefusedError, match=said.replace("10 inter", "9 inter")):
        split_as_given(dataset, files)
    assert (dataset.folder / "interactions.parquet").read_bytes() == before
