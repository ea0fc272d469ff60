"""An index of the vectors: nearly the exact answers, exact scores, and no file that is believed."""

import json
import pickle

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from iisan_core import Recommender, RefusedError
from iisan_core.serving import index as index_module
from iisan_core.serving.index import VectorIndex, exact_top, kind_for, recall_of
from iisan_core.serving.index_arrays import lists_for
from iisan_core.serving.stores import index_of

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS_OF_INDEX = ["flat", "ivf", "hnsw"]


@pytest.fixture(scope="module")
def vectors():
    """Vectors as a trained run has them: many like others."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(50, 12))
    return (centres[rng.integers(0, 50, 3000)] + 0.4 * rng.normal(size=(3000, 12))).astype(np.float32)


@pytest.fixture(scope="module")
def queries(vectors):
    return vectors[::40] + np.float32(0.1)


@pytest.mark.parametrize("kind", KINDS_OF_INDEX)
def test_the_recall_that_is_written_is_the_recall_there_is(kind, vectors, queries, tmp_path):
    made = VectorIndex.build(vectors, queries, kind=kind, recall=0.9)
    numbers = made.search(queries, 10)
    assert recall_of(numbers - 1, exact_top(vectors, queries, k=10)) == pytest.approx(made.facts.recall)
    assert made.facts.recall >= (1 if kind == "flat" else 0.9)
    made.save(tmp_path / "index")
    assert json.loads((tmp_path / "index" / "index.json").read_text())["recall"] == made.facts.recall
    again = VectorIndex.load(tmp_path / "index", vectors)
    assert again.facts == made.facts
    np.testing.assert_array_equal(again.search(queries, 10), numbers)


def test_more_effort_where_more_is_wanted(vectors, queries):
    low, high = (VectorIndex.build(vectors, queries, kind="ivf", recall=r).facts for r in (0.3, 0.999))
    assert low.effort < high.effort and low.recall < high.recall


def test_the_kind_follows_from_the_size():
    assert [kind_for(n) for n in (10, 20_314, 1_000_000, 10_000_000)] == ["flat", "flat", "ivf", "hnsw"]
    assert [lists_for(n) for n in (1, 60, 1_000_000)] == [1, 16, 2048]


def test_recall_counts_what_was_found():
    exact = np.array([[1, 2], [3, 4]])
    assert recall_of(np.array([[2, 9], [4, 3]]), exact) == (1 + 2) / 4
    assert recall_of(np.array([[-1, -1], [3, -1]]), exact) == 1 / 4


@pytest.mark.parametrize("kind", KINDS_OF_INDEX)
def test_recommendations_by_way_of_an_index(recommender, kind):
    """Nearly all are the exact answers, and all scores are, also of what is counted and added."""
    indexed = recommender.with_index(index_of(recommender, kind=kind, recall=1.0))
    users = [f"u{n:02}" for n in range(20)]
    everything = recommender.recommend(users=users, k=60)
    same = 0
    for found, wanted in zip(indexed.recommend(users=users, k=10), everything, strict=True):
        score_of = {item.item_id: item.score for item in wanted}
        assert [item.score for item in found] == pytest.approx([score_of[item.item_id] for item in found], abs=1e-4)
        assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)
        same += len({item.item_id for item in found} & {item.item_id for item in wanted[:10]})
    assert same >= (1 if kind == "flat" else 0.9) * 10 * len(users)


def test_what_is_counted_is_found_where_the_product_alone_would_not(everything):
    recommender = Recommender.load(everything)
    index = index_of(recommender, kind="flat")
    small = recommender.with_index(VectorIndex(index.facts, Nearsighted(index.searcher)))
    (found,), (wanted,) = small.recommend(users=["u00"], k=3), recommender.recommend(users=["u00"], k=3)
    assert [item.item_id for item in found] == [item.item_id for item in wanted]


class Nearsighted:
    """A searcher that finds one item."""

    def __init__(self, searcher):
        self._searcher = searcher

    def search(self, states, k):
        products, rows = self._searcher.search(states, k)
        rows[:, 1:] = -1
        return products, rows


def test_exact_answers_on_request_and_where_the_index_finds_too_few(finished):
    recommender = Recommender.load(finished.path)
    index = index_of(recommender, kind="flat")
    nearsighted = recommender.with_index(VectorIndex(index.facts, Nearsighted(index.searcher)))
    blind = recommender.with_index(VectorIndex(index.facts, None))
    wanted = recommender.recommend(users=["u00", "u01"], k=5)
    assert blind.recommend(users=["u00", "u01"], k=5, exact=True) == wanted
    assert blind.recommend(users=["u00"], k=5, candidates=["i01", "i02"])
    found = nearsighted.recommend(users=["u00", "u01"], k=5)
    assert [[item.item_id for item in row] for row in found] == [[item.item_id for item in row] for row in wanted]


def spoilt(folder, **arrays):
    """As whoever means it does: without the list of checksums, which would tell."""
    (folder / "checksums.json").unlink(missing_ok=True)
    path = folder / "index.safetensors"
    save_file(load_file(path) | arrays, path)


I32, I64, F32 = np.int32, np.int64, np.float32
SPOILT = [
    ("ivf", {"list_of": np.full(3000, 999_999, I32)}, "it names lists that are not there"),
    ("ivf", {"list_of": np.full(3000, -1, I32)}, "it names lists that are not there"),
    ("ivf", {"list_of": np.zeros(7, I32)}, "it places 7 vectors, there are 3,000"),
    ("ivf", {"centroids": np.zeros((5, 11), F32)}, "its centroids have 11 numbers, the vectors 12"),
    ("ivf", {"centroids": np.full((5, 12), np.nan, F32)}, "lists that are not there|not finite"),
    ("ivf", {"centroids": np.zeros((5000, 100), F32)}, "too large for this index"),
    ("ivf", {"centroids": np.zeros((5, 12), np.float64)}, "holds the arrays"),
    ("ivf", {"more": np.zeros(1, F32)}, "holds the arrays"),
    ("hnsw", {"levels": np.zeros(3000, I32)}, "it names levels that are not there"),
    ("hnsw", {"levels": np.full(3000, 99, I32)}, "it names levels that are not there"),
    ("hnsw", {"levels": np.ones(3000, I32)}, "links instead of"),
    ("hnsw", {"neighbours": np.zeros(5, I32)}, "it has 5 links instead of"),
    ("hnsw", {"entry": np.array([2**40, 0], I64)}, "it begins nowhere"),
    ("hnsw", {"entry": np.array([0], I64)}, "where to begin"),
]


@pytest.mark.parametrize(("kind", "arrays", "sentence"), SPOILT)
def test_a_file_that_points_elsewhere_is_refused(kind, arrays, sentence, vectors, queries, tmp_path):
    VectorIndex.build(vectors, queries, kind=kind, recall=0.1).save(tmp_path / "index")
    spoilt(tmp_path / "index", **arrays)
    with pytest.raises(RefusedError, match=sentence):
        VectorIndex.load(tmp_path / "index", vectors)


@pytest.mark.parametrize("value", [-2, 3000, 2**31 - 1])
def test_a_graph_whose_links_lead_out_of_it_is_refused(value, vectors, queries, tmp_path):
    VectorIndex.build(vectors, queries, kind="hnsw", recall=0.1).save(tmp_path / "index")
    neighbours = load_file(tmp_path / "index" / "index.safetensors")["neighbours"]
    neighbours[7] = value
    spoilt(tmp_path / "index", neighbours=neighbours)
    with pytest.raises(RefusedError, match="it links to items that are not there"):
        VectorIndex.load(tmp_path / "index", vectors)


def test_a_graph_whose_upper_links_lead_to_lower_items_is_refused(vectors, queries, tmp_path):
    """Such an item has no links up there: whoever follows them reads another item's, or past the end."""
    VectorIndex.build(vectors, queries, kind="hnsw", recall=0.1).save(tmp_path / "index")
    arrays = load_file(tmp_path / "index" / "index.safetensors")
    levels, neighbours = arrays["levels"], arrays["neighbours"]
    above, below = int(np.flatnonzero(levels > 1)[0]), int(np.flatnonzero(levels == 1)[-1])
    first = int((64 + 32 * (levels[:above] - 1)).sum())
    neighbours[first + 64] = below
    spoilt(tmp_path / "index", neighbours=neighbours)
    with pytest.raises(RefusedError, match="it links to items that are not on a level"):
        VectorIndex.load(tmp_path / "index", vectors)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"items": 10**15}, "an index of 1,000,000,000,000,000 vectors"),
        ({"width": 10**9}, "of 1,000,000,000 numbers"),
        ({"of_vectors": "0" * 64}, "or of others"),
        ({"kind": "pickle"}, "kind"),
        ({"effort": 0}, "effort"),
        ({"module": "os"}, "module"),
    ],
)
def test_facts_that_are_not_so_are_refused_before_anything_is_read(facts, sentence, vectors, queries, tmp_path):
    VectorIndex.build(vectors, queries, kind="flat").save(tmp_path / "index")
    path = tmp_path / "index" / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    (tmp_path / "index" / "index.safetensors").unlink()
    with pytest.raises(RefusedError, match=sentence):
        VectorIndex.load(tmp_path / "index", vectors)


def test_a_pickle_is_refused(vectors, queries, tmp_path):
    VectorIndex.build(vectors, queries, kind="ivf", recall=0.1).save(tmp_path / "index")
    (tmp_path / "index" / "index.safetensors").write_bytes(pickle.dumps({"list_of": [1]}))
    with pytest.raises(RefusedError, match="holds no index"):
        VectorIndex.load(tmp_path / "index", vectors)


def test_without_faiss_it_is_said_what_to_install(vectors, queries, monkeypatch):
    monkeypatch.setattr(index_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RefusedError, match=r'pip install "iisan-workbench\[faiss\]"'):
        VectorIndex.build(vectors, queries)
