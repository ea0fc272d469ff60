"""Captioners of every kind, tiny and random; what they write means nothing, but depends on the picture."""

import pytest
import torch

from data_tools.captions.captioner import DEFAULT_PROMPT, load_captioner
from iisan_core.errors import RefusedError


@pytest.fixture(scope="module")
def pictures(picture):
    return [[picture(n)] for n in range(4)]


@pytest.mark.parametrize("kind", ["vit-gpt2", "blip", "llava"])
def test_every_kind_writes_a_text_for_each_picture(model_folders, pictures, words, kind):
    captioner = load_captioner(model_folders[kind], max_new_tokens=8)
    texts = captioner.caption(pictures)
    assert len(texts) == 4
    assert set(" ".join(texts).split()) <= words, "no special tokens, and nothing of the request"
    assert len(set(texts)) > 1, "what is written depends on the picture"
    assert all(len(text.split()) <= 8 for text in texts)
    assert captioner.caption(pictures) == texts


@pytest.mark.parametrize("kind", ["vit-gpt2", "blip", "llava"])
def test_a_batch_writes_what_each_picture_alone_would(model_folders, pictures, kind):
    captioner = load_captioner(model_folders[kind], max_new_tokens=6)
    assert captioner.caption(pictures) == [captioner.caption([item])[0] for item in pictures]


def test_items_with_unlike_numbers_of_frames_share_a_batch(model_folders, pictures):
    chat = load_captioner(model_folders["llava"], max_new_tokens=6)
    items = [pictures[0], [*pictures[0], *pictures[1], *pictures[2]]]
    assert chat.caption(items) == [chat.caption([item])[0] for item in items]


def test_frames_give_a_plain_model_several_sentences_said_once(model_folders, pictures):
    plain = load_captioner(model_folders["blip"], max_new_tokens=6)
    one, two = plain.caption([pictures[0], pictures[3]])
    assert one != two
    assert plain.caption([[*pictures[0], *pictures[3], *pictures[0]]]) == [f"{one} {two}"]


def test_the_prompt_counts_and_is_recorded(model_folders, pictures):
    chat = load_captioner(model_folders["llava"], max_new_tokens=6)
    asked = load_captioner(model_folders["llava"], prompt="the old lamp the old lamp", max_new_tokens=6)
    assert chat.settings["prompt"] == DEFAULT_PROMPT
    assert chat.caption(pictures) != asked.caption(pictures)
    begun = load_captioner(model_folders["blip"], prompt="a picture of", max_new_tokens=4)
    assert begun.caption(pictures)[0].startswith("a picture of")
    assert begun.settings == {
        "model": str(model_folders["blip"]), "revision": begun.settings["revision"], "prompt": "a picture of",
        "max_new_tokens": 4,
    }  # fmt: skip
    assert len(begun.settings["revision"]) == 64


def test_what_cannot_caption_is_refused(model_folders, tmp_path):
    with pytest.raises(RefusedError, match="takes no prompt: it knows pictures only; leave --prompt out"):
        load_captioner(model_folders["vit-gpt2"], prompt="a")
    with pytest.raises(RefusedError, match="there is no such folder"):
        load_captioner(tmp_path / "none")
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(RefusedError, match="cannot be loaded as a model that writes about pictures"):
        load_captioner(tmp_path / "bert")


def test_nothing_is_left_to_chance(model_folders, pictures):
    captioner = load_captioner(model_folders["blip"], max_new_tokens=6)
    torch.manual_seed(1)
    first = captioner.caption(pictures)
    torch.manual_seed(2)
    assert captioner.caption(pictures) == first
