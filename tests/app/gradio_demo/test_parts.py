"""The demo's parts, without a server."""

import random
import sys
from types import SimpleNamespace

import pytest
from PIL import Image

from app.demo import build_demo, demo_of, main
from app.formats import discreet
from app.gradio_demo.api import recommend_endpoint
from app.gradio_demo.catalogue import LONGEST_HISTORY, MOST_RECOMMENDED, SIDE, Catalogue, Run, changed, thumbnail
from app.gradio_demo.compose_tab import ComposeTab
from app.gradio_demo.markup import Card, Scale, cards, part_bars, stacked, text
from app.gradio_demo.new_item_tab import EXAMPLES, LONGEST_TITLE, NewItemTab, checked_title, opened
from app.gradio_demo.views import suited_view
from app.pictures import MOST_BYTES
from iisan_core.errors import RefusedError
from iisan_core.serving.explanation import Contribution
from iisan_core.serving.recommender import Recommender
from iisan_core.serving.retrieval import UserRank

from .conftest import HOSTILE


@pytest.fixture(scope="module")
def run(recommender):
    return Run.of("both", recommender)


@pytest.fixture(scope="module")
def new_item(recommender, titles_only):
    return NewItemTab([Run.of("both", recommender), Run.of("titles", titles_only)])


def test_text_is_shown_as_it_is_and_of_bounded_length():
    assert text('<b a="1">&') == "&lt;b a=&quot;1&quot;&gt;&amp;"
    assert not set("<>{}$`\"'") & set(text(HOSTILE))
    assert len(text("x" * 100_000)) < 400


def test_cards_are_buttons_only_where_a_click_does_something():
    plain = cards([Card("a", "mug", None)])
    assert "<button" not in plain
    assert 'data-item="a&quot;" data-action="add"' in cards([Card('a"', "mug", None, action="add")])
    assert cards([], empty="none <here>") == '<p class="sentence hint">none &lt;here&gt;</p>'


def test_a_title_that_stands_in_for_a_picture_is_shown_once():
    assert cards([Card("a", "Oak mug", None)]).count(">Oak mug<") == 1
    assert cards([Card("a", "Oak mug", "data:image/webp;base64,")]).count(">Oak mug<") == 1


def test_stacked_pieces_begin_where_the_last_ended():
    parts = [
        Contribution("image", 2, 0),
        Contribution("text", -1, 0),
        Contribution("inter", 1, 0),
        Contribution("bias", 5, 5),
    ]
    scale = Scale.of([-1, 3])
    html = stacked(parts, scale)
    pieces = [("left:25.00%", "width:50.00%"), ("left:0.00%", "width:25.00%"), ("left:75.00%", "width:25.00%")]
    assert [f"{a};{b}" in html for a, b in pieces] == [True] * 3
    assert html.count("<i ") == 3
    assert [bar.value for bar in part_bars(parts)] == [2, -1, 1]


def test_thumbnails_are_small_and_absent_for_what_is_no_picture(tmp_path):
    Image.effect_noise((900, 600), 80).save(tmp_path / "large.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    assert thumbnail(tmp_path / "large.png").startswith("data:image/webp;base64,")
    assert len(thumbnail(tmp_path / "large.png")) < SIDE * SIDE
    assert thumbnail(tmp_path / "bad.png") is None
    assert thumbnail(tmp_path / "absent.png") is None


def test_search_finds_titles_that_hold_every_word(run):
    item = run.recommender.item_ids[5]
    words = run.catalogue.title(item).split()
    random.Random(0).shuffle(words)
    assert item in run.catalogue.search(" ".join(words).upper(), most=240)
    assert run.catalogue.search(item, most=3) == [item]
    assert run.catalogue.search("no.such*thing(", most=3) == []
    assert len(run.catalogue.search("", most=7)) == 7
    assert run.catalogue.search("x" * 100_000, most=3) == []


def test_a_history_grows_and_shrinks_by_clicks_and_is_bounded():
    assert changed(["a"], "b", "add") == ["a", "b"]
    assert changed(["a", "b", "a"], "a", "remove") == ["a", "b"]
    assert changed(["a"], "x", "remove") == ["a"]
    assert changed(["a"], "a", "whatever") == ["a"]
    assert len(changed(["a"] * LONGEST_HISTORY, "b", "add")) == LONGEST_HISTORY


def test_a_run_answers_as_its_recommender_does(run):
    user = run.catalogue.users(1)[0]
    history = run.recommender.history(user)
    (expected,) = run.recommender.recommend(histories=[history], k=9)
    found = run.recommend(history, k=9)
    assert [why.item_id for why in found] == [item.item_id for item in expected]
    assert [why.score for why in found] == pytest.approx([item.score for item in expected], abs=1e-4)
    assert len(run.recommend(history, k=10_000)) == MOST_RECOMMENDED


def test_what_is_shown_follows_from_the_state_alone(run):
    tab = ComposeTab([run])
    first, second = run.recommender.item_ids[3], run.recommender.item_ids[4]
    state, history, recommended, why = tab._show({"history": [first, second], "chosen": None})
    assert history.index(text(run.catalogue.title(second))) < history.index(text(run.catalogue.title(first)))
    best = run.recommend([first, second], k=12)
    assert [f'data-item="{w.item_id}"' in recommended for w in best] == [True] * 12
    assert "Click a recommendation" in why
    chosen = best[2].item_id
    _, _, marked, reason = tab._show(state | {"chosen": (0, chosen)})
    assert marked.count("marked") == 1
    assert text(run.catalogue.title(chosen)) in reason
    assert "Recommendations appear here" in tab._show({"history": [], "chosen": None})[2]


def test_a_new_item_is_answered_by_every_run(new_item, png):
    html = new_item.answer(png, "Round oak mug")
    assert html.count("What is like it") == html.count("Whom it suits") == 2
    assert html.count('class="user"') == 12


def test_a_new_item_without_a_picture_is_taken_where_a_stand_in_was_learned(new_item):
    assert new_item.answer(None, "Round oak mug").count("What is like it") == 2


def test_a_new_item_without_a_title_is_taken_by_the_run_that_reads_pictures(new_item, png):
    html = new_item.answer(png, "   ")
    assert html.count("What is like it") == 1
    assert "has no text, so there is nothing to know it by" in html


def test_each_run_says_what_it_knew_the_new_item_by(new_item, png):
    html = new_item.answer(png, "Round oak mug")
    assert "by both, from its picture and title alone" in html
    assert "by titles, from its title alone" in html


def test_examples_are_first_of_all_items_that_nobody_has_chosen(new_item, run):
    chosen = set(run.recommender.dataset.interactions["item_id"])
    titles = dict(run.recommender.dataset.items.select("item_id", "title").iter_rows())
    fresh = [item for item, title in new_item.examples if item not in chosen]
    assert fresh
    assert [title for _, title in new_item.examples[: len(fresh)]] == [titles[item] for item in fresh]
    assert len(new_item.examples) == EXAMPLES
    assert all(title and "<img" in new_item._examples_view() for _, title in new_item.examples)


def test_a_run_of_titles_is_brought_titles_alone(titles_only):
    tab = NewItemTab([Run.of("titles", titles_only)])
    assert len(tab.examples) == EXAMPLES
    assert "<img" not in tab._examples_view()
    html = tab._take_example(SimpleNamespace(item="1"))
    assert text(tab.examples[1][1]) in html
    assert html.count('class="user"') == 6


def test_a_run_that_reads_both_together_is_brought_either(read_together, png):
    tab = NewItemTab([Run.of("joint", read_together)])
    assert tab.runs[0].known_by == ("picture with text",)
    assert "<img" in tab._examples_view()
    for picture, title, known in (
        (png, "", "picture"),
        (None, "Round oak mug", "title"),
        (png, "Mug", "picture and title"),
    ):
        html = tab.answer(picture, title)
        assert html.count('class="user"') == 6
        assert f"from its {known} alone" in html


def test_a_run_of_ids_is_brought_nothing(ids_only):
    titles = [b.value for b in build_demo(ids_only).blocks.values() if getattr(b, "elem_id", "") == "new-item"]
    assert len(titles) == 1
    assert "known here by their ids alone, so there is nothing to say about a new one" in titles[0]
    run = Run.of("ids", ids_only)
    assert run.known_by == ("ids",)
    assert len(run.recommend(run.recommender.item_ids[:2], k=5)) == 5


def test_a_run_of_more_than_a_visitor_can_bring_has_its_stand_ins_or_says_so(with_captions, png, monkeypatch):
    tab = NewItemTab([Run.of("captions", with_captions)])
    assert tab.answer(png, "Round oak mug").count('class="user"') == 6
    without = with_captions._model.shape.model_copy(update={"missing": ("image", "text")})
    monkeypatch.setattr(with_captions._model, "shape", without)
    html = tab.answer(png, "Round oak mug")
    assert "caption cannot be brought here, but from Python, to &#96;Recommender.add_items&#96;." in html


def test_users_without_pictures_are_shown_by_a_title(run, monkeypatch):
    user = run.catalogue.users(1)[0]
    monkeypatch.setattr(Catalogue, "picture", lambda self, item: None)
    newest = run.recommender.history(user)[-1]
    assert f"<p>chose {text(run.catalogue.title(newest))}</p>" in suited_view(run, [UserRank(user, 3, 0.5)])


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("no item 'x' in /home/me/data/shop; check", "no item 'x' in shop; check"),
        ("no backbone at ../weights/vit: gone", "no backbone at vit: gone"),
        ("the cache ~/w s/caches/a has", "the cache ~/w s/caches/a has"),
        ("a 3/4 inch and/or 1/2/3 mug", "a 3/4 inch and/or 1/2/3 mug"),
    ],
)
def test_a_visitor_is_not_told_where_things_lie(message, shown):
    assert discreet(RefusedError(message)) == shown


def test_html_in_a_title_is_text(new_item, png):
    html = new_item.answer(png, HOSTILE)
    assert html.count("What is like it") == 2
    assert "<b>bold" not in html
    assert "onerror=" not in html.replace("onerror=&quot;", "")


@pytest.mark.parametrize(
    ("size", "message"),
    [((5000, 4000), r"the picture has 5,000 × 4,000 pixels; 16 million are the most"), ((2, 2), None)],
)
def test_pictures_of_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, size, message):
    Image.new("L", size).save(tmp_path / "x.png")
    if message is None:
        assert opened(str(tmp_path / "x.png")).size == size
        return
    with pytest.raises(RefusedError, match=message):
        opened(str(tmp_path / "x.png"))


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 99, b"<svg></svg>"])
def test_files_that_are_no_pictures_get_a_sentence(new_item, tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    html = new_item.answer(str(tmp_path / "x.png"), "mug")
    assert html.startswith('<p class="sentence refused" role="alert">The file cannot be read as a picture; PNG, JPEG')


def test_a_truncated_picture_gets_a_sentence(new_item, tmp_path):
    Image.effect_noise((200, 200), 50).save(tmp_path / "x.png")
    (tmp_path / "x.png").write_bytes((tmp_path / "x.png").read_bytes()[:2000])
    assert "The file cannot be read as a picture" in new_item.answer(str(tmp_path / "x.png"), "mug")


def test_too_many_bytes_get_a_sentence(new_item, tmp_path):
    (tmp_path / "x.png").write_bytes(b"\0" * (MOST_BYTES + 1))
    assert "The picture has 5.0 MB; 5 MB are the most" in new_item.answer(str(tmp_path / "x.png"), "mug")


def test_a_long_title_and_nothing_at_all_get_a_sentence(new_item):
    assert "The title has 100,000 characters; 300 are the most" in new_item.answer(None, "x" * 100_000)
    assert "There is neither a picture nor a title" in new_item.answer(None, " ")
    assert checked_title(" " + "x" * LONGEST_TITLE) == "x" * LONGEST_TITLE


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"history": []}, "a history without any ranked item says nothing"),
        ({"history": ["nothing"]}, "no item 'nothing' in"),
        ({"history": "P0001"}, "history is a list of item ids"),
        ({"history": ["P0001"], "k": 25}, "k is 25; choose 1 to 24"),
        ({"history": ["P0001"], "k": "many"}, "k is 'many'; choose 1 to 24"),
        ({"history": ["P0001"], "run": "third"}, "no run 'third'; there is both"),
    ],
)
def test_the_endpoint_refuses_with_a_sentence(run, asked, message):
    with pytest.raises(Exception, match=message):
        recommend_endpoint([run])(**asked)


def test_runs_of_other_items_or_of_one_name_are_not_compared(recommender):
    fewer = Recommender(
        model=recommender._model,
        table=recommender._table[:-1],
        item_ids=recommender.item_ids[:-1],
        dataset=recommender.dataset,
    )
    with pytest.raises(RefusedError, match=r"the runs rank different items \(\d+ and \d+, \d+ of them in both\)"):
        build_demo(recommender, other=fewer)
    with pytest.raises(RefusedError, match="both runs are called 'same'"):
        build_demo(recommender, other=recommender, names=("same", "same"))


def test_a_demo_of_what_is_no_run_is_refused(tmp_path, shell, monkeypatch, capsys):
    with pytest.raises(RefusedError, match="is no run folder"):
        demo_of(tmp_path)
    outcome = shell("gradio", tmp_path)
    assert (outcome.code, "is no run folder" in outcome.err) == (2, True)
    monkeypatch.setattr(sys, "argv", ["demo.py", "--run", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "is no run folder" in capsys.readouterr().err


def test_run_folders_are_shown_under_their_names(shop):
    titles = [block.value for block in demo_of(shop.both, other=shop.titles).blocks.values() if hasattr(block, "value")]
    assert any("recommended by run-both (picture, text) and run-titles (text)" in str(title) for title in titles)


def test_the_demo_reports_to_nobody_and_has_one_endpoint(recommender, titles_only):
    demo = build_demo(recommender, other=titles_only, names=("both", "titles"))
    assert not demo.analytics_enabled
    assert set(demo.get_api_info()["named_endpoints"]) == {"/recommend"}
    assert demo.get_api_info()["unnamed_endpoints"] == {}
