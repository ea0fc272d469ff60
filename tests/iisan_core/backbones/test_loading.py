"""Backbones are found and loaded as users of transformers expect, and refused in one line that helps."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from transformers import AutoModel, AutoTokenizer, GPT2Config, GPT2Model, LlamaConfig, LlamaModel

from iisan_core.backbones.loading import LARGE, chosen_dtype, load_backbone
from iisan_core.backbones.registry import find_entry
from iisan_core.errors import RefusedError

from .tiny_models import save_eva, save_tiny_model, tiny_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub_at(folder: Path, seen: list[tuple[str, str]]) -> Iterator[str]:
    """A hub on localhost: `owner/model` has the files of `folder`; other names are errors of the hub's own kinds."""
    errors = {"owner/gated": (403, "GatedRepo"), "owner/no-config": (404, "EntryNotFound")}

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            seen.append((self.path, self.headers.get("Authorization", "")))
            repo, _, rest = self.path.strip("/").partition("/resolve/")
            revision, _, name = rest.partition("/")
            if self.path.startswith("/api/models/owner/model/"):
                return self.refuse(404, "EntryNotFound")  # no further folders
            if repo != "owner/model":
                return self.refuse(*errors.get(repo, (404, "RepoNotFound")))
            if revision not in ("main", COMMIT):
                return self.refuse(404, "RevisionNotFound")
            if not (folder / name).is_file():
                return self.refuse(404, "EntryNotFound")
            content = (folder / name).read_bytes()
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{name}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def questions() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def seen(questions: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Path and authorization of every question of this test to the hub."""
    questions.clear()
    return questions


@pytest.fixture(scope="module")
def address(bert_folder: Path, questions: list[tuple[str, str]]) -> Iterator[str]:
    """One hub for all tests: the client remembers its address."""
    with hub_at(bert_folder, questions) as address:
        yield address


@pytest.fixture
def hub(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Online, at the hub on localhost, with an empty cache: its folder."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.network
def test_a_model_of_the_hub_is_pinned_to_its_commit(hub: Path, seen: list[tuple[str, str]]) -> None:
    backbone = load_backbone("owner/model", "text", token="secret")
    assert backbone.revision == COMMIT
    files = [path for path, _ in seen if "/resolve/" in path]
    assert any("/resolve/main/config.json" in path for path in files)
    assert any(f"/resolve/{COMMIT}/model.safetensors" in path for path in files)
    assert {authorization for path, authorization in seen if "/resolve/" in path} == {"Bearer secret"}
    assert load_backbone("owner/model", "text", revision=COMMIT[:40]).revision == COMMIT


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("owner/gated", {}, "owner/gated is gated: accept its conditions at .*/owner/gated, then .*`hf auth login`"),
        ("owner/modle", {}, "the hub has none of that name that you may see; check the spelling, or log in"),
        ("goggle-bert/bert-base-uncased", {}, r"did you mean google-bert/bert-base-uncased"),
        ("owner/no-config", {}, "has no config.json, so it is no model in the transformers format"),
        ("owner/model", {"revision": "v9"}, "owner/model has no revision 'v9'"),
    ],
)
def test_what_the_hub_refuses_is_said_in_one_line(hub: Path, name: str, options: Any, message: str) -> None:
    with pytest.raises(RefusedError, match=message) as refused:
        load_backbone(name, "text", **options)
    assert "\n" not in str(refused.value)


@pytest.mark.network
def test_a_model_of_the_cache_is_loaded_when_offline(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    online = load_backbone("owner/model", "text")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load_backbone("owner/model", "text").revision == online.revision
    (shard,) = hub.glob("models--owner--model/snapshots/*/model.safetensors")
    shard.unlink()
    with pytest.raises(RefusedError, match="not all of its files are here; download them with `hf download owner"):
        load_backbone("owner/model", "text")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "bert-base",
            r"nor in the hub's local cache.*HF_HUB_OFFLINE is set.*`hf download google-bert/bert-base-uncased`",
        ),
        ("llama-3-8b", r"hf download meta-llama/Meta-Llama-3-8B.*gated, so first accept its conditions at http"),
        ("bert-bse", r"did you mean bert-base"),
        ("dinov2 base!", r"neither a folder here nor a name of the registry .*did you mean dinov2-base"),
        ("eva-clip-18b", r"program in its repository BAAI/EVA-CLIP-18B.*--trust-remote-code"),
    ],
)
def test_offline_each_refusal_says_how_to_get_the_model(name: str, message: str) -> None:
    with pytest.raises(RefusedError, match=message) as refused:
        load_backbone(name, "text")
    assert "\n" not in str(refused.value)


def test_a_program_of_a_repository_runs_only_when_asked_for(tmp_path: Path) -> None:
    folder = save_eva("eva", tmp_path / "eva")
    with pytest.raises(RefusedError, match=r"computed by a program in its own repository.*--trust-remote-code"):
        load_backbone(folder, "image")
    first = load_backbone(folder, "image", trust_remote_code=True)
    assert first.widths == [16] * 4
    program = folder / "modeling_eva.py"
    program.write_text(program.read_text() + "\n# another program\n")
    assert load_backbone(folder, "image", trust_remote_code=True).revision != first.revision


def test_default_pooling_is_the_registrys(monkeypatch: pytest.MonkeyPatch, bert_folder: Path) -> None:
    entry = find_entry("bge-small")
    assert entry is not None
    assert entry.towers["text"].pooling == "cls"
    monkeypatch.setattr("iisan_core.backbones.loading.find_entry", lambda name: entry)
    assert load_backbone(bert_folder, "text").default_pooling == "cls"
    e5 = find_entry("e5-small")
    monkeypatch.setattr("iisan_core.backbones.loading.find_entry", lambda name: e5)
    assert load_backbone(bert_folder, "text").prompt == "query: "
    monkeypatch.undo()
    assert load_backbone(bert_folder, "text").default_pooling == "mean"


def test_arithmetic_is_chosen_by_size() -> None:
    assert chosen_dtype("auto", parameters=LARGE) == "float32"
    assert chosen_dtype("auto", parameters=LARGE + 1) == "bfloat16"
    assert chosen_dtype("float32", parameters=LARGE + 1) == "float32"


def test_a_large_model_is_loaded_in_half_precision(bert_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_backbone(bert_folder, "text").compute_dtype == "float32"
    monkeypatch.setattr("iisan_core.backbones.loading.LARGE", 1000)
    backbone = load_backbone(bert_folder, "text")
    assert backbone.compute_dtype == "bfloat16"
    assert {p.dtype for p in backbone.model.parameters()} == {torch.bfloat16}


def test_quantized_weights_without_bitsandbytes(bert_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else found(name))
    with pytest.raises(
        RefusedError, match=r'4bit weights need bitsandbytes.*pip install "iisan-workbench\[quantized\]"'
    ):
        load_backbone(bert_folder, "text", quantization="4bit")


def test_quantized_weights_are_another_revision(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason='pip install "iisan-workbench[quantized]"')
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 128}
    LlamaModel(LlamaConfig(vocab_size=14, **shape)).save_pretrained(tmp_path)
    tiny_tokenizer(padding_side="left").save_pretrained(tmp_path)
    full = load_backbone(tmp_path, "text")
    states = full.encode(full.example(), layers=[3], pooling="mean")
    for quantization, suffix in (("4bit", "+nf4"), ("8bit", "+int8")):
        backbone = load_backbone(tmp_path, "text", quantization=quantization)  # type: ignore[arg-type]
        assert backbone.revision == full.revision + suffix
        assert any(p.dtype in (torch.uint8, torch.int8) for p in backbone.model.parameters())
        error = backbone.encode(full.example(), layers=[3], pooling="mean") - states
        assert 0 < error.norm() < 0.2 * states.norm()


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
def test_a_model_that_is_spread_out_computes_the_same(llama_folder: Path, tmp_path: Path) -> None:
    places = {"embed_tokens": "cpu", "layers.0": "cpu", "layers.1": "disk", "layers.2": "disk"}
    places |= {"norm": "cpu", "rotary_emb": "cpu"}
    spread = load_backbone(llama_folder, "text", device_map=places)
    assert any(p.device.type == "meta" for p in spread.model.parameters()), "part of it does wait on the disk"
    whole = load_backbone(llama_folder, "text")
    example = whole.example()
    for pooling in whole.poolings:
        found = spread.encode(example, layers=range(4), pooling=pooling)
        torch.testing.assert_close(found, whole.encode(example, layers=range(4), pooling=pooling))


def test_learned_positions_are_counted_from_the_first_real_token(tmp_path: Path) -> None:
    """GPT-2 has no rotary positions; with padding on the left it must not see them shifted."""
    torch.manual_seed(0)
    ends = {"bos_token_id": 2, "eos_token_id": 3}
    config = GPT2Config(vocab_size=14, **ends, n_positions=32, n_embd=16, n_layer=2, n_head=2, initializer_range=0.5)
    GPT2Model(config).save_pretrained(tmp_path)
    tiny_tokenizer(padding_side="left").save_pretrained(tmp_path)
    backbone = load_backbone(tmp_path, "text")
    padded = AutoTokenizer.from_pretrained(tmp_path)("red mug", padding="max_length", max_length=9, return_tensors="pt")
    alone = AutoTokenizer.from_pretrained(tmp_path)("red mug", return_tensors="pt")
    for pooling in backbone.poolings:
        found = [backbone.encode(dict(t), layers=[0, 1, 2], pooling=pooling) for t in (padded, alone)]
        torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)


def test_siglip_sees_the_padding_that_it_was_trained_with(tmp_path: Path) -> None:
    folder = save_tiny_model("siglip", tmp_path / "siglip")
    backbone = load_backbone(folder, "text")
    (batch,) = backbone.batches(["red mug"], batch_size=2, size=None)
    assert batch.load().tensors["input_ids"].shape == (1, 20)  # its full length
    long = ["red mug"] * 2 + [" ".join(["big"] * 40)]
    assert max(b.load().tensors["input_ids"].shape[1] for b in backbone.batches(long, batch_size=1, size=99)) == 20
    with torch.no_grad():
        tokens = AutoTokenizer.from_pretrained(folder)(
            "red mug", padding="max_length", max_length=20, return_tensors="pt"
        )
        hidden = AutoModel.from_pretrained(folder).text_model(**tokens, output_hidden_states=True).hidden_states
    # Pooled are the four real tokens alone: start, two words, end.
    expected = torch.cat([h[:, :4].mean(dim=1) for h in hidden], dim=1)
    found = backbone.encode(batch.load().tensors, layers=range(len(hidden)), pooling="mean")
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_damaged_folder_is_refused_in_one_line(bert_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(bert_folder, folder)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:100])
    with pytest.raises(RefusedError, match="cannot be loaded as a text backbone") as refused:
        load_backbone(folder, "text")
    assert "\n" not in str(refused.value)
