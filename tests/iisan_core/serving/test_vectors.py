"""Exported vectors: from the files alone come the scores of the run."""

import json

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from iisan_core import BulkRequest, Recommender, RefusedError
from iisan_core.serving.vectors import export_vectors

pytestmark = pytest.mark.usefixtures("one_thread")


def vectors_in(folder, name):
    """Ids and vectors, with no program of ours."""
    if (folder / f"{name}s.parquet").exists():
        table = pl.read_parquet(folder / f"{name}s.parquet")
        return table[f"{name}_id"].to_list(), table["vector"].to_numpy()
    ids = pl.read_parquet(folder / f"{name}s_ids.parquet")[f"{name}_id"].to_list()
    if (folder / f"{name}s.npy").exists():
        return ids, np.load(folder / f"{name}s.npy", allow_pickle=False)
    return ids, load_file(folder / f"{name}s.safetensors")["vectors"]


def scores_from(folder, histories):
    """Scores as README.md says them: user → item → score."""
    says = json.loads((folder / "export.json").read_text())
    (items, table), (users, states) = vectors_in(folder, "item"), vectors_in(folder, "user")
    found = dict(zip(users, (dict(zip(items, row, strict=True)) for row in (states @ table.T).tolist()), strict=True))
    if counted := says["counted"]:
        similar = {(a, b): s for a, b, s in pl.read_parquet(folder / "together.parquet").iter_rows()}
        for user, scores in found.items():
            for age, item in enumerate(reversed(histories[user][-counted["newest"] :])):
                for other in items:
                    weight = counted["weight"] * counted["recency"] ** age
                    scores[other] += weight * similar.get((item, other), 0.0)
    return found


@pytest.mark.parametrize("form", ["parquet", "safetensors", "npy"])
def test_scores_follow_from_the_files(recommender, form, tmp_path):
    says = export_vectors(recommender, tmp_path / "out", form)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        ["export.json", "README.md", *(name for names in says["files"].values() for name in names)]
    )
    table = recommender.recommend_frame(BulkRequest(k=60))
    found = scores_from(tmp_path / "out", {user: recommender.history(user) for user in table["user_id"].unique()})
    assert len(found) == 80 and (says["items"], says["users"]) == (60, 80)
    made = [found[user][item] for user, item in table.select("user_id", "item_id").iter_rows()]
    np.testing.assert_allclose(made, table["score"], rtol=1e-4, atol=1e-4)


def test_tables_of_vectors(recommender):
    items, users = recommender.item_vectors(), recommender.user_vectors(["u05", "u01"])
    assert items.schema == {"item_id": pl.String, "vector": pl.Array(pl.Float32, recommender.width)}
    assert items["item_id"].to_list() == recommender.item_ids
    assert users["user_id"].to_list() == ["u05", "u01"]
    history = pl.DataFrame({"user_id": ["new"], "item_id": [recommender.history("u01")]})
    new = recommender.user_vectors(histories=history)
    np.testing.assert_allclose(new["vector"].to_numpy()[0], users["vector"].to_numpy()[1], rtol=1e-5)
    before = recommender.user_vectors(["u01"], view="evaluation")
    assert not np.allclose(before["vector"].to_numpy(), new["vector"].to_numpy())


def test_columns_are_named(recommender, everything, several, tmp_path):
    says = export_vectors(recommender, tmp_path / "out", "npy", users=False)
    ends = [end for _, end in says["columns"].values()]
    assert ends[-1] == says["width"] == recommender.width
    assert [first for first, _ in says["columns"].values()] == [0, *ends[:-1]], "one after the other, nothing between"
    text = (tmp_path / "out" / "README.md").read_text()
    assert all(f"| {name} |" in text for name in says["columns"])
    assert not (tmp_path / "out" / "users.npy").exists()
    assert ("plus what is counted" in text) == (recommender.together is not None)


def test_a_taken_folder_and_other_forms_are_refused(finished, tmp_path):
    recommender = Recommender.load(finished.path)
    (tmp_path / "mine").write_text("")
    with pytest.raises(RefusedError, match="exists already"):
        export_vectors(recommender, tmp_path / "mine", "npy")
    with pytest.raises(RefusedError, match="written as parquet, safetensors, npy; 'pickle' is none"):
        export_vectors(recommender, tmp_path / "out", "pickle")
