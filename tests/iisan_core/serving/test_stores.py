"""Embedded vector databases: asked with a user's vector, they answer what the products say."""

import numpy as np
import pytest

from iisan_core import Recommender, RefusedError
from iisan_core.serving import stores
from iisan_core.serving.stores import export_store

pytestmark = pytest.mark.usefixtures("one_thread")


def asked_of_qdrant(folder, vector):
    from qdrant_client import QdrantClient

    client = QdrantClient(path=str(folder / "qdrant"))
    try:
        found = client.query_points("items", query=vector.tolist(), limit=5).points
        return [(point.payload["item_id"], point.score, point.payload["title"]) for point in found]
    finally:
        client.close()


def asked_of_lancedb(folder, vector):
    import lancedb

    table = lancedb.connect(str(folder / "lancedb")).open_table("items")
    rows = table.search(vector).distance_type("dot").limit(5).to_list()
    return [(row["item_id"], 1 - row["_distance"], row["title"]) for row in rows]


@pytest.mark.parametrize(("kind", "asked"), [("qdrant", asked_of_qdrant), ("lancedb", asked_of_lancedb)])
def test_a_database_answers_what_the_products_say(everything, kind, asked, tmp_path):
    recommender = Recommender.load(everything)
    says = export_store(recommender, tmp_path / "out", kind)
    assert says["items"] == 60 and (tmp_path / "out" / "together.parquet").is_file()
    vector = recommender.user_vectors(["u03"])["vector"].to_numpy()[0]
    products = recommender.vectors @ vector
    best = np.argsort(-products)[:5]
    found = asked(tmp_path / "out", vector)
    titles = dict(recommender.dataset.items.select("item_id", "title").iter_rows())
    assert [item for item, _, _ in found] == [recommender.item_ids[n] for n in best]
    assert [title for _, _, title in found] == [titles[recommender.item_ids[n]] for n in best]
    np.testing.assert_allclose([score for _, score, _ in found], products[best], rtol=1e-4)


def test_other_kinds_and_missing_packages_are_refused(finished, tmp_path, monkeypatch):
    recommender = Recommender.load(finished.path)
    with pytest.raises(RefusedError, match="the databases qdrant, lancedb; 'oracle' is none"):
        export_store(recommender, tmp_path / "out", "oracle")
    monkeypatch.setattr(stores.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RefusedError, match=r'pip install "iisan-workbench\[qdrant\]"'):
        export_store(recommender, tmp_path / "out", "qdrant")
    assert not (tmp_path / "out").exists()
