"""`iisan data caption` as a user calls it."""

import json
import sys

import pytest

from app.cli import main
from iisan_core.data.dataset import Dataset


@pytest.fixture
def shell(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["iisan", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


@pytest.mark.parametrize(
    ("arguments", "match"), [(["--field", "title"], "field 'title'"), (["--from", "video"], "no video")]
)
def test_what_cannot_be_captioned_is_refused_before_the_model_is_sought(shell, shop, arguments, match):
    code, _, err = shell("data", "caption", shop().folder, "--model", "nowhere", *arguments)
    assert code == 2
    assert match in err


def test_a_dataset_of_which_no_picture_can_be_read_has_failed(shell, shop, model_folders):
    folder = shop(3).folder
    for path in (folder / "images").iterdir():
        path.write_bytes(b"broken")
    code, _, err = shell("data", "caption", folder, "--model", model_folders["blip"], "--device", "cpu")
    assert code == 1
    assert "none of 2 items could be described" in err


def test_captions_become_a_text_column(shell, shop, model_folders):
    folder = shop().folder
    words = ("data", "caption", folder, "--model", model_folders["blip"], "--field", "seen", "--device", "cpu")
    code, out, err = shell(*words, "--max-new-tokens", "5", "--json")
    assert code == 0, err
    assert json.loads(out) == {"field": "seen", "items": 6, "found": 0, "written": 6, "failed": 0, "failures": {}}
    assert "--text-field seen" in err
    assert Dataset.load(folder).items["seen"].count() >= 4, "a random model may well say nothing"
    code, out, _ = shell(*words, "--max-new-tokens", "5")
    assert "found" in out
    code, _, err = shell(*words, "--max-new-tokens", "6")
    assert code == 2
    assert "holds captions made with max_new_tokens 5" in err
