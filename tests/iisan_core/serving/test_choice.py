"""`recommend` among candidates and by filter; `similar_items`; threads."""

from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest
import torch

from iisan_core.errors import RefusedError
from iisan_core.serving.recommender import Recommender

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def recommender(finished):
    return Recommender.load(finished.path)


def ids(answers):
    return [[item.item_id for item in answer] for answer in answers]


def test_candidates_keep_the_order_of_all(recommender):
    some = ["i40", "i05", "i17", "i33", "i05"]
    (everything,) = ids(recommender.recommend(users=["u03"], k=60, exclude_seen=False))
    (answer,) = ids(recommender.recommend(users=["u03"], k=10, candidates=some, exclude_seen=False))
    assert answer == [item for item in everything if item in some]


def test_candidates_that_were_seen_are_left_out(recommender):
    history = recommender.history("u03")
    (answer,) = ids(recommender.recommend(users=["u03"], candidates=[*history, "i04"]))
    assert answer == ["i04"]


def test_a_filter_is_a_condition_on_the_catalogue(recommender):
    (answer,) = ids(recommender.recommend(users=["u03"], k=60, filter=pl.col("image").is_null(), exclude_seen=False))
    assert sorted(answer) == [f"i{n:02}" for n in range(0, 60, 5)]
    both = {"candidates": ["i05", "i06"], "filter": pl.col("title").str.ends_with("5")}
    assert ids(recommender.recommend(users=["u03"], **both)) == [["i05"]]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"candidates": ["i01", "x"]}, r"no item 'x' in .*; check its spelling"),
        ({"candidates": []}, "nothing to choose from: no ranked item is among the candidates"),
        ({"filter": pl.col("title") == "mug"}, "nothing to choose from: .* meets the filter"),
        ({"filter": pl.col("colour") == "red"}, r"(?s)no condition on the columns item_id, title, image: .*colour"),
        ({"filter": pl.col("title").str.len_chars()}, "the filter is no condition on the columns"),
    ],
)
def test_choices_that_cannot_be_made_are_refused(recommender, choice, message):
    with pytest.raises(RefusedError, match=message):
        recommender.recommend(users=["u03"], **choice)


def test_similar_items_are_those_of_the_largest_cosine(recommender):
    found = recommender.similar_items("i03", k=59)
    vectors = torch.nn.functional.normalize(recommender._table[1:].double(), dim=1)
    expected = dict(zip(recommender.item_ids, (vectors @ vectors[3]).tolist(), strict=True))
    assert sorted(item.item_id for item in found) == sorted(expected.keys() - {"i03"})
    assert [item.cosine for item in found] == sorted((item.cosine for item in found), reverse=True)
    assert all(item.cosine == pytest.approx(expected[item.item_id], abs=1e-6) for item in found)


def test_likeness_is_mutual(recommender):
    one = {item.item_id: item.cosine for item in recommender.similar_items("i03", k=59)}
    assert all(
        next(s.cosine for s in recommender.similar_items(other, k=59) if s.item_id == "i03")
        == pytest.approx(cosine, abs=1e-6)
        for other, cosine in one.items()
    )


def test_similar_items_are_of_the_same_class(recommender, world):
    similar = [recommender.similar_items(f"i{n:02}", k=5) for n in range(12)]
    same = [int(item.item_id[1:]) % world.classes == n % world.classes for n in range(12) for item in similar[n]]
    assert sum(same) > 0.8 * len(same)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"item_id": "x"}, r"no item 'x' in .*; check its spelling"),
        ({"item_id": "i01", "k": 0}, "k is 0; there are 59 other items, choose 1 to that many"),
        ({"item_id": "i01", "k": 60}, "k is 60; there are 59 other items"),
    ],
)
def test_bad_questions_for_similar_items_are_refused(recommender, question, message):
    with pytest.raises(RefusedError, match=message):
        recommender.similar_items(**question)


def test_threads_get_the_answers_that_one_gets(finished):
    """A fresh recommender, so that what is read late is read by all threads at once."""
    expected, shared = (Recommender.load(finished.path) for _ in range(2))

    def ask(recommender, number):
        user = f"u{number:02}"
        answer = recommender.recommend(users=[user], k=7, candidates=[f"i{n:02}" for n in range(number % 5, 60)])
        return answer, recommender.similar_items(f"i{number % 60:02}"), recommender.explain("i11", user=user)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: ask(shared, number % 80), range(400)))
    assert found == [ask(expected, number) for number in range(80)] * 5
