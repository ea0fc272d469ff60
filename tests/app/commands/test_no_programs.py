"""No program that a model's folder brings is run, nor asked for on standard input, unless that is allowed by name."""

from __future__ import annotations

import ast
import builtins
import io
import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from app.planning.backbone_spec import describe_backbone
from data_tools.captions.captioner import load_captioner
from data_tools.writing import write_dataset
from iisan_core.backbones.loading import load_backbone
from iisan_core.errors import RefusedError
from tests.app.conftest import Shell

ROOT = Path(__file__).parents[3]

READERS = ("AutoConfig", "AutoModel", "AutoModelForImageTextToText", "AutoTokenizer", "AutoProcessor")
READERS += ("AutoImageProcessor", "AutoFeatureExtractor")


@pytest.fixture(autouse=True)
def _nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any) -> str:
        pytest.fail("a question was put on standard input")

    monkeypatch.setattr(builtins, "input", asked)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """The file that the foreign program would write."""
    return tmp_path / "the foreign program ran"


@pytest.fixture(params=["of a type nobody knows", "of a known type"])
def foreign(tmp_path: Path, ran: Path, vit_folder: Path, request: pytest.FixtureRequest) -> Path:
    """A folder whose every file of settings names a program in it."""
    folder = tmp_path / "foreign"
    shutil.copytree(vit_folder, folder)
    (folder / "program.py").write_text(f"open({str(ran)!r}, 'w').close()\n" + "class It: pass\n" * 2)
    program = dict.fromkeys(READERS, "program.It") | {"AutoTokenizer": ["program.It", "program.It"]}
    known = json.loads((vit_folder / "config.json").read_text())
    if request.param != "of a known type":
        known |= {"model_type": "nobody-knows", "architectures": ["It"]}
    settings = json.loads((vit_folder / "preprocessor_config.json").read_text())
    if request.param != "of a known type":
        settings["image_processor_type"] = "ItIsNowhere"
    for name, values in {
        "config.json": known,
        "preprocessor_config.json": settings,
        "processor_config.json": {"processor_class": "It"},
        "tokenizer_config.json": {"tokenizer_class": "It"},
    }.items():
        (folder / name).write_text(json.dumps(values | {"auto_map": program}))
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(picture, "PNG")
    items = pl.DataFrame({"item_id": ["a", "b"], "title": ["x", "y"], "image": ["1.png", "1.png"]})
    log = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"], "timestamp": [1, 2]})
    pictures = {"1.png": picture.getvalue()}
    write_dataset(tmp_path / "data", name="data", source="a test", items=items, interactions=log, images=pictures)
    return tmp_path / "data"


@pytest.mark.parametrize(
    "verb",
    [
        *(["plan", "{data}", f"--{kind}", "{model}"] for kind in ("text", "image")),
        *(
            ["extract", "{data}", f"--{kind}", "{model}", "--device", "cpu"]
            for kind in ("text", "image", "video", "audio")
        ),
        ["data", "caption", "{data}", "--model", "{model}"],
    ],
    ids=lambda verb: " ".join(verb).translate({ord(mark): None for mark in "{}"}),
)
def test_no_verb_runs_a_folders_program(
    verb: list[str], shell: Shell, workspace: Path, foreign: Path, dataset: Path, ran: Path
) -> None:
    ended = shell(*(part.format(data=dataset, model=foreign) for part in verb))
    assert not ran.exists()
    assert "Traceback" not in ended.err + ended.out
    assert ended.code in (0, 1, 2)


def test_no_function_runs_a_folders_program(foreign: Path, ran: Path) -> None:
    for kind in ("text", "image", "video", "audio"):
        for read in (load_backbone, describe_backbone):
            with suppress(RefusedError):
                read(str(foreign), kind)
    with pytest.raises(RefusedError, match=r"captions run none|writes about pictures"):
        load_captioner(foreign)
    assert not ran.exists()


def test_every_reader_of_models_is_told_whether_programs_may_run() -> None:
    """Left untold, the library asks; a processor from another repository must be told, too."""
    untold = []
    for path in [p for package in ("iisan_core", "app", "data_tools") for p in (ROOT / package).rglob("*.py")]:
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            reads = call.func.attr in ("from_pretrained", "from_config") and isinstance(call.func.value, ast.Name)
            if reads and call.func.value.id.startswith("Auto"):  # type: ignore[attr-defined]
                told = any(given.arg in (None, "trust_remote_code") for given in call.keywords)
                untold += [] if told else [f"{path}:{call.lineno}"]
    assert untold == []
