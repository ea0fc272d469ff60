"""The grids of the studies: which configurations they compare."""

import pytest

from iisan_core.config.schema import RunConfig
from iisan_core.errors import RefusedError
from iisan_core.experiments.designs import STUDIES, ablation, asymmetric, balance, layers, robustness, scaling
from iisan_core.experiments.study import only
from iisan_core.model.recommender import ModelShape, RecommenderModel


def named(study) -> dict[str, RunConfig]:
    return {row.name: row.config for row in study.rows}


@pytest.fixture
def unequal(world, manifest_only) -> RunConfig:
    """A wide text cache of five layers beside the narrow image cache."""
    text = manifest_only("wide", world.caches["text"], layers=(0, 2, 4, 6, 8), widths=(32,) * 5)
    return world.config().model_copy(update={"caches": world.caches | {"text": text}})


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_has_a_question_and_rows_of_different_names(unequal, name) -> None:
    study = STUDIES[name](unequal)
    assert (study.name, study.question[-1]) == (name, "?")
    names = [row.name for row in study.rows]
    assert len(set(names)) == len(names) > 2
    assert unequal.training in [row.config.training for row in study.rows]


@pytest.mark.parametrize("name", ["ablation", "asymmetric", "balance", "robustness"])
def test_a_study_of_two_modalities_refuses_one(world, name) -> None:
    with pytest.raises(RefusedError, match=f"the {name} study needs caches of at least 2 modalities; there are 1"):
        STUDIES[name](only(world.config(), ["text"]))


def test_ablation_switches_networks_modalities_and_gates(world) -> None:
    rows = named(ablation(world.config(model={"intra": False})))
    towers = {name: config.model.towers(list(config.caches)) for name, config in rows.items()}
    assert towers == {
        "intra + inter": ["image", "text", "inter"],
        "intra only": ["image", "text"],
        "inter only": ["inter"],
        "image only": ["image"],
        "text only": ["text"],
        "even gates": ["image", "text", "inter"],
    }
    assert {name for name, config in rows.items() if config.model.gates == "even"} == {"even gates"}


def test_ablation_takes_out_each_part_of_the_score(world) -> None:
    config = only(world.config(model={"frozen": True, "together": True}), ["text"])
    rows = named(ablation(config))
    found = {n: (c.model.frozen, c.model.together) for n, c in rows.items() if c.baseline is None}
    assert found == {
        "all parts": (True, True),
        "learned part only": (False, False),
        "without frozen": (False, True),
        "without together": (True, False),
    }
    assert rows["together only"].baseline is not None and rows["together only"].baseline.kind == "item-knn"
    of_two = named(ablation(world.config(model={"frozen": True})))
    assert {"intra + inter", "even gates", "learned part only"} < of_two.keys() and "together only" not in of_two


def test_layers_offers_what_the_caches_hold_each_once(unequal) -> None:
    study = layers(unequal)
    read = {row.name: (row.facts["layers_image"], row.facts["layers_text"]) for row in study.rows}
    assert read["all"] == (3, 5)
    assert read["even"] == (2, 3)
    assert read["last 1"] == (1, 1)
    assert "last 4" not in read, "the image cache has three layers"
    assert len({str(row.config.model.layers) for row in study.rows}) == len(study.rows)


def test_one_cached_layer_leaves_no_choice(world, manifest_only) -> None:
    caches = {name: manifest_only(name, folder, layers=(3,), widths=(16,)) for name, folder in world.caches.items()}
    with pytest.raises(RefusedError, match="which leaves nothing to choose; extract with --layers all"):
        layers(world.config().model_copy(update={"caches": caches}))


def test_balance_spends_one_budget(world) -> None:
    config = world.config(model={"bottleneck": 20})
    budget = 3 * 20
    for row in balance(config).rows:
        model = row.config.model
        spent = 2 * model.bottleneck * model.intra + (model.inter_bottleneck or 0) * model.inter
        assert abs(spent - budget) <= 1, row.name
    shares = [row.facts["inter_share"] for row in balance(config).rows]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)


def test_asymmetric_needs_unequal_widths(world, unequal) -> None:
    rows = named(asymmetric(unequal))
    assert [rows[f"DTL {kind}"].model.transformation for kind in ("per block", "shared", "frozen")] == [
        "block",
        "shared",
        "frozen",
    ]
    assert {"layers even", "layers last 1", "intra only", "image only"} <= rows.keys()
    with pytest.raises(RefusedError, match=r"equal widths, .* so no dimension transformation is at work"):
        asymmetric(world.config())


def test_asymmetric_shows_the_share_of_every_component(unequal) -> None:
    rows = asymmetric(unequal).rows
    components = {part: [row.name for row in rows if row.facts["component"] == part] for part in
                  ("transformation", "layers", "networks", "cache")}  # fmt: skip
    assert components["transformation"] == ["DTL per block", "DTL shared", "DTL frozen"]
    assert {"layers all", "layers even", "layers last 3", "layers last 1"} <= set(components["layers"])
    assert components["networks"] == ["intra only", "inter only", "image only", "text only"]
    assert components["cache"] == ["cached, 1 epoch", "uncached, 1 epoch"]
    assert sum(map(len, components.values())) == len(rows)
    trained = {rows[numbers[0]].name for numbers in asymmetric(unequal).trainings().values()}
    shared = {row.name for row in rows} - trained
    assert shared == {"layers all"}, "what is the pair as it is, is not trained twice"


def test_cached_and_uncached_are_one_configuration_of_few_epochs(unequal) -> None:
    *others, cached, uncached = asymmetric(unequal, uncached_epochs=2).rows
    assert (cached.name, uncached.name) == ("cached, 2 epochs", "uncached, 2 epochs")
    assert (cached.uncached, uncached.uncached) == (False, True)
    assert cached.config == uncached.config
    assert uncached.config.training.epochs == min(2, unequal.training.epochs)
    assert not any(row.uncached for row in others)
    assert [row.name for row in asymmetric(unequal, uncached_epochs=0).rows] == [row.name for row in others]
    as_long = asymmetric(unequal, uncached_epochs=1000)
    assert as_long.rows[-1].config.training == unequal.training
    assert len(as_long.trainings()) < len(as_long.rows), "as long as all others, it shares their runs"


@pytest.mark.parametrize("kind", ["block", "shared", "frozen"])
def test_every_transformation_makes_a_model(unequal, kind) -> None:
    config = unequal.model.model_copy(update={"transformation": kind})
    model = RecommenderModel(ModelShape(widths={"image": (16,) * 3, "text": (32,) * 5}, max_history=4, config=config))
    assert len(model.items.towers["inter"].block) == 3


def test_robustness_tests_one_training_under_many_damages(world) -> None:
    study = robustness(world.config(), shares=(0.5, 1.0), both_times=False)
    assert len(study.trainings()) == 2, "with modality dropout, and without"
    assert len(study.rows) == 2 + 2 * 2 * (3 + 2)
    whole = [row for row in study.rows if not row.tested_under]
    assert [row.facts["share"] for row in whole] == [0, 0]
    both = robustness(world.config(), shares=(0.5,))
    trained = [row for row in both.rows if row.config.corruption]
    assert {(row.facts["modality"], row.facts["damage"]) for row in trained} == {
        (modality, kind) for modality in ("image", "text") for kind in ("dropped", "shuffled", "noise")
    }


def test_scaling_combines_the_caches_smaller_first(world, manifest_only) -> None:
    large = manifest_only("l", world.caches["text"], backbone="hub/large", layers=(0, 24), widths=(64, 64))
    caches = {"image": [world.caches["image"]], "text": [large, world.caches["text"]]}
    study = scaling(world.config(), caches)
    assert [row.name for row in study.rows] == [
        "tiny-image (image) + tiny-text (text)",
        "tiny-image (image) + large (text)",
    ]
    assert [row.facts["size_text"] for row in study.rows] == [2 * 16, 24 * 64]
    assert study.rows[1].config.caches == {"image": world.caches["image"], "text": large}
    with pytest.raises(RefusedError, match="so nothing to compare; extract with another backbone"):
        scaling(world.config(), {name: [folder] for name, folder in world.caches.items()})


def test_a_study_of_fewer_modalities_forgets_what_was_said_of_the_others(world) -> None:
    config = world.config(model={"layers": {"text": "0,1", "image": "0,2"}})
    assert only(config, ["text"]).model.layers == {"text": "0,1"}
