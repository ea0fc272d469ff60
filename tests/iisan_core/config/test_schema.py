from pathlib import Path

import pytest
from pydantic import ValidationError

from iisan_core.config.schema import (
    TRACKING,
    ModelConfig,
    ProtocolConfig,
    RunConfig,
    load_config,
    save_config,
    validated,
)
from iisan_core.errors import RefusedError
from iisan_core.files import write_text

MINIMAL = "dataset: some/data\ncaches: {image: some/images, text: some/texts}\n"


def load(tmp_path, text):
    path = tmp_path / "config.yaml"
    write_text(path, text)
    return load_config(path)


def test_defaults(tmp_path):
    config = load(tmp_path, MINIMAL)
    assert config.dataset == Path("some/data")
    assert list(config.caches) == ["image", "text"]
    protocol = config.protocol
    assert (protocol.min_interactions, protocol.max_history) == (5, 10)
    assert (protocol.split, protocol.training, protocol.catalogue, protocol.masked) == (
        "leave-one-out", "all", "all", "history"
    )  # fmt: skip
    assert (config.model.bottleneck, config.model.embedding, config.model.dropout) == (64, 64, 0.1)
    assert (config.model.blocks, config.model.heads) == (2, 2)
    assert (config.training.batch_size, config.training.patience) == (64, 10)
    assert (config.training.learning_rate, config.training.san_learning_rate) == (2e-4, 1e-4)


def test_what_is_saved_is_loaded_with_every_value_spelled_out(tmp_path):
    config = load(tmp_path, MINIMAL + "model: {embedding: 8, head: stacked}\ntraining: {seed: 7}\n")
    path = tmp_path / "saved.yaml"
    save_config(config, path)
    assert load_config(path) == config
    assert list(load_config(path).caches) == list(config.caches), "the order of fusion is kept"
    text = path.read_text()
    for group in (ProtocolConfig, ModelConfig, type(config.training)):
        assert all(f"  {name}:" in text for name in group.model_fields if name not in TRACKING)
    assert not any(f"{name}:" in text for name in TRACKING), "nobody is told of it"
    told = load(tmp_path, MINIMAL + "training: {trackers: [tensorboard]}\n")
    save_config(told, path)
    assert load_config(path) == told and all(f"  {name}:" in path.read_text() for name in TRACKING)


def test_corruption_is_read_under_its_old_name(tmp_path):
    noise, dropped = ({"kind": kind, "share": 0.5} for kind in ("noise", "dropped"))
    new = load(tmp_path, MINIMAL + "corruption: {text: {kind: noise, share: 0.5}}\n")
    assert load(tmp_path, MINIMAL + "damage: {text: {kind: noise, share: 0.5}}\n") == new
    assert load(tmp_path, MINIMAL + "damage: {}\n") == load(tmp_path, MINIMAL)
    both = RunConfig.model_validate(
        new.model_dump() | {"damage": {"image": dropped}}
    )  # `--config … --set damage.image=…`
    assert both.model_dump()["corruption"] == {"text": noise | {"seed": 0}, "image": dropped | {"seed": 0}}
    with pytest.raises(RefusedError, match=r"corruption\.text\.share"):
        load(tmp_path, MINIMAL + "damage: {text: {kind: noise, share: 2}}\n")


def test_all_faults_are_reported_together(tmp_path):
    wrong = "model: {embeding: 8, bottleneck: zero, dropout: 1}\ntraining: {epochs: 0, device: tpu}\nsurprise: 1\n"
    with pytest.raises(RefusedError) as caught:
        load(tmp_path, MINIMAL.replace("dataset: some/data\n", "") + wrong)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'config.yaml'} cannot be used:")
    assert "model.embeding: unknown key; remove it or correct its spelling" in message
    assert "model.bottleneck: " in message and "'zero'" in message
    for place in ("dataset", "model.dropout", "training.epochs", "training.device", "surprise"):
        assert f"\n  {place}: " in message, place
    assert "'cpu' or 'cuda'" in message
    assert len(message.splitlines()) == 1 + 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {embedding: 9}", "embedding 9 is not divisible by heads 2; choose heads that divide it"),
        ("model: {intra: false, inter: false}", "intra and inter are both off, so nothing adapts"),
        ("protocol: {min_interactions: 2}", "greater than or equal to 3"),
        ("training: {seed: -1}", "greater than or equal to 0"),
        ("training: {ema: 1}", "less than 1"),
        ("training: {clip_norm: 0}", "greater than 0"),
        ("training: {loss: bpr}", "'in_batch', 'sampled', 'gbce' or 'full'"),
        ("training: {loss: gbce, sampling: popular}", "calibration holds for uniform draws, and sampling is popular"),
        ("training: {loss: full, correct_positive: false}", "loss is full, which corrects nothing.*leave it on"),
        (
            "training: {learning_rates: {text.haed: 1}}",
            "no part 'text.haed'; a rate may be given to fusion, users, ids",
        ),
        ("training: {learning_rates: {san: 0}}", "the rate of san is 0.*greater than 0"),
        (
            "training: {learning_rates: {txt.san: 1}}",
            "learning_rates: txt.san names txt, which has no cache",
        ),
        ("model: {bottlenecks: {txt: 9}}", "model.bottlenecks: txt names txt, which has no cache; there are audio, im"),
        ("model: {bottlenecks: {text: 0}}", "greater than or equal to 1"),
    ],
)
def test_values_that_cannot_work_are_refused(tmp_path, text, message):
    with pytest.raises(RefusedError, match=message):
        load(tmp_path, MINIMAL + text)


def test_rates_may_be_given_to_parts_of_one_tower_or_all(tmp_path):
    text = "training: {learning_rates: {text.head.inner: 5e-5, image.gate: 1.0e-4, inter.dtl: 0.1, san: 1, users: 2}}"
    rates = load(tmp_path, MINIMAL + text).training.learning_rates
    assert rates == {"text.head.inner": 5e-5, "image.gate": 1e-4, "inter.dtl": 0.1, "san": 1, "users": 2}


def test_inter_alone_needs_two_modalities(tmp_path):
    one = "dataset: d\ncaches: {text: t}\nmodel: {intra: false}\n"
    with pytest.raises(RefusedError, match=r"model.intra is off and there is one modality.*switch intra on"):
        load(tmp_path, one)
    load(tmp_path, MINIMAL + "model: {intra: false}\n")


def test_a_run_without_modalities_needs_ids(tmp_path):
    with pytest.raises(RefusedError, match=r"no caches and model.ids is off.*name a cache or switch ids on"):
        load(tmp_path, "dataset: d\ncaches: {}\n")
    assert load(tmp_path, "dataset: d\nmodel: {ids: true}\n").caches == {}


def test_a_baseline_reads_no_states(tmp_path):
    with pytest.raises(RefusedError, match=r"the baseline popular reads no states; leave caches out"):
        load(tmp_path, MINIMAL + "baseline: {kind: popular}\n")
    with pytest.raises(RefusedError, match=r"baseline.kind: .*'popular' or 'item-knn'"):
        load(tmp_path, "dataset: d\nbaseline: {kind: best}\n")


@pytest.mark.parametrize(
    ("caches", "rest", "name"),
    [
        ("", "model: {ids: true}", "ids"),
        ("image: i, text: t", "", "image + text + inter"),
        ("image: i, text: t", "model: {inter: false, ids: true}", "image + text + ids"),
        ("image: i, text: t", "model: {intra: false}", "inter"),
        ("text: t", "", "text"),
        ("text: t", "model: {adapter: mlp}", "text, mlp"),
        ("image: i, text: t", "model: {adapter: linear, ids: true}", "image + text + ids, linear"),
        ("", "baseline: {kind: item-knn}", "item-knn"),
    ],
)
def test_a_run_says_what_it_recommends_with(tmp_path, caches, rest, name):
    assert load(tmp_path, f"dataset: d\ncaches: {{{caches}}}\n{rest}\n").recommender == name


@pytest.mark.parametrize(
    ("text", "message"),
    [("model: [", "is not valid YAML"), ("just words", "top level"), ("", "top level")],
)
def test_files_that_hold_no_configuration_are_refused(tmp_path, text, message):
    with pytest.raises(RefusedError, match=message):
        load(tmp_path, text)


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(RefusedError, match=r"no configuration at .*absent.yaml: the file does not exist"):
        load_config(tmp_path / "absent.yaml")


def test_a_file_of_bytes_is_refused(tmp_path):
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RefusedError, match="is not valid YAML"):
        load_config(tmp_path / "config.yaml")


def test_modality_dropout_follows_the_gaps_unless_set():
    assert ModelConfig().dropout_for([]) == 0
    assert ModelConfig().dropout_for(["image"]) == 0.1
    assert ModelConfig(modality_dropout=0.3).dropout_for([]) == 0.3
    assert ModelConfig(modality_dropout=0.0).dropout_for(["image"]) == 0


def test_a_configuration_is_frozen():
    config = RunConfig(dataset=Path("d"), caches={"text": Path("t")})
    with pytest.raises(ValidationError, match="frozen"):
        config.dataset = Path("e")  # type: ignore[misc]


def test_every_setting_is_described():
    for group in (ProtocolConfig, ModelConfig, type(RunConfig.model_fields["training"].default)):
        for name, field in group.model_fields.items():
            assert field.description, name


@pytest.mark.parametrize("length", [{"max_history": 10}, {"inputs": 10}])
def test_a_protocol_written_before_there_was_a_choice_is_the_papers(length):
    before = {"min_interactions": 5, "catalogue": "interacted", **length}
    protocol = ProtocolConfig.model_validate(before)
    assert (protocol.training, protocol.catalogue, protocol.masked) == ("last", "interacted", "kept")
    assert ProtocolConfig.model_validate(protocol.model_dump()) == protocol


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"split": "time", "valid_from": 1.5}, "1.5 is no share of the log; give a number between 0 and 1"),
        ({"split": "time", "test_from": "soon"}, "'soon' is no date; write it as 2018-07-01"),
        ({"split": "time", "valid_from": 0.9, "test_from": 0.8}, "valid_from 0.9 is not before test_from 0.8"),
        ({"target": "rest"}, "leave-one-out holds one item out, so target is next"),
        ({"split": "time", "training": "last"}, "with split time choose all"),
    ],
)
def test_protocols_that_do_not_fit_together_are_refused(values, said):
    with pytest.raises(RefusedError, match=said.replace("(", r"\(")):
        validated(ProtocolConfig, values, where="a protocol")
