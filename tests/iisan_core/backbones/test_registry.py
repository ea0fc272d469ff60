"""The registry says of every model what its own configuration says."""

import json
import re
from collections.abc import Iterator
from importlib import resources
from itertools import groupby
from pathlib import Path

import huggingface_hub.constants
import pytest
import yaml
from transformers import AutoConfig

from app.planning.meta_model import meta_model_of
from iisan_core.backbones.local import local_folder
from iisan_core.backbones.registry import BackboneEntry, backbone_catalogue, find_entry
from iisan_core.errors import RefusedError

NAMED = (
    "BERT", "RoBERTa", "DeBERTa-v3", "MiniLM", "E5", "BGE", "Llama 3", "Qwen 3", "Mistral", "Gemma", "ViT", "DeiT",
    "DINOv2", "SigLIP", "CLIP", "EVA-CLIP", "Swin", "ConvNeXt", "MobileNet", "ResNet",
)  # fmt: skip
BUILT = [entry for entry in backbone_catalogue() if entry.config]


def smallest() -> Iterator[BackboneEntry]:
    for _, entries in groupby(BUILT, key=lambda entry: entry.family):
        yield min(entries, key=lambda entry: entry.parameters)


def check_against_the_configuration(entry: BackboneEntry) -> None:
    assert entry.config is not None
    config = AutoConfig.for_model(**entry.config)
    for modality, tower in entry.towers.items():
        built = meta_model_of(config, modality, entry.name)  # type: ignore[arg-type]
        assert (built.widths, built.parameters) == (tower.widths, tower.parameters)
        assert built.total_parameters == entry.parameters
        if modality == "text":
            limit = getattr(built.model.config, "max_position_embeddings", tower.max_tokens)
            assert tower.max_tokens is not None
            assert tower.max_tokens <= limit or entry.kind == "decoder"  # decoders: rotary, the limit is in no weight


@pytest.mark.parametrize("entry", list(smallest()), ids=lambda entry: entry.name)
def test_smallest_of_each_family(entry: BackboneEntry) -> None:
    check_against_the_configuration(entry)


@pytest.mark.long
@pytest.mark.parametrize("entry", BUILT, ids=lambda entry: entry.name)
def test_every_entry(entry: BackboneEntry) -> None:
    check_against_the_configuration(entry)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # layers × (4 D² + 2 D·4D + biases and norms) + embeddings + pooler, as the papers' tables have them
        ("bert-base", 12 * (4 * 768**2 + 8 * 768**2 + 13 * 768) + (30522 + 512 + 2 + 2) * 768 + 768**2 + 768),
        # the published 8,030,261,248 less the head of vocabulary × width
        ("llama-3-8b", 8_030_261_248 - 128_256 * 4096),
        ("llama-3-70b", 70_553_706_496 - 128_256 * 8192),
        ("mistral-7b", 7_248_023_552 - 32_768 * 4096),
        ("clip-large", 427_616_513),
        ("minilm", 22_713_216),
        # picture and text together, without a head that is no copy of the embedding: vocabulary × width
        ("qwen3-vl-2b", 2_127_532_032),
        ("gemma3-4b", 4_300_079_472),
        ("smolvlm2-500m", 507_482_304 - 49_280 * 960),
    ],
)
def test_published_parameter_counts(name: str, parameters: int) -> None:
    entry = find_entry(name)
    assert entry is not None
    assert entry.parameters == parameters


def test_all_families_are_there_and_names_are_unique() -> None:
    catalogue = backbone_catalogue()
    assert set(NAMED) <= {entry.family for entry in catalogue}
    assert len({entry.name for entry in catalogue}) == len({entry.hub_id for entry in catalogue}) == len(catalogue)
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+", entry.hub_id) for entry in catalogue)
    assert all("/" not in entry.name for entry in catalogue)


def test_the_file_lists_what_the_catalogue_holds() -> None:
    text = (resources.files("iisan_core.backbones") / "registry.yaml").read_text(encoding="utf-8")
    names = [model["name"] for family in yaml.safe_load(text) for model in family["models"]]
    assert [entry.name for entry in backbone_catalogue()] == names


def test_entries_are_found_by_name_and_hub_id_in_any_case() -> None:
    entry = find_entry("BERT-base")
    assert entry is not None
    assert entry is find_entry("google-bert/bert-base-uncased")
    assert (entry.modality, entry.towers["text"].width) == ("text", 768)
    assert find_entry("nobody/nothing") is None


def test_joint_models_have_two_towers() -> None:
    entry = find_entry("clip-base")
    assert entry is not None
    assert entry.modality == "joint"
    assert (entry.tower("text").width, entry.tower("image").width) == (512, 768)
    with pytest.raises(RefusedError, match="clip-base has no audio tower; it encodes text, image"):
        entry.tower("audio")


def test_what_lies_here_is_found_without_the_network(
    tmp_path: Path, bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert local_folder("google-bert/bert-base-uncased") is None
    assert local_folder("no hub id at all") is None
    assert local_folder(str(bert_folder)) == bert_folder
    snapshot = tmp_path / "models--google-bert--bert-base-uncased" / "snapshots" / "1234"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("1234")
    (snapshot / "config.json").write_text("{}")
    assert local_folder("bert-base") is None  # the configuration alone is no model
    index = {"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    (snapshot / "1.safetensors").touch()
    assert local_folder("bert-base") is None  # a shard is missing
    (snapshot / "2.safetensors").touch()
    assert local_folder("bert-base") == snapshot == local_folder("google-bert/bert-base-uncased")
