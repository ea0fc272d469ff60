"""The studies that there are: each a question, and a grid of configurations that answers it.

`run_study` trains what is missing of one and writes its table beside the runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from iisan_core.backbones.layers import choose_layers
from iisan_core.cache.manifest import CacheManifest, read_manifest
from iisan_core.config.schema import BaselineConfig, CorruptionConfig, RunConfig
from iisan_core.errors import RefusedError
from iisan_core.experiments.study import Fact, Row, Study, need_modalities, only, with_model

LAYER_CHOICES = ("all", "even", "group:5", "group:4", "group:3", "-4,-3,-2,-1", "-3,-2,-1", "-2,-1", "-1")
"""In the words of `iisan extract --layers`, numbered as the layers lie in the caches."""

INTER_SHARES = (0.1, 0.2, 1 / 3, 0.5, 0.7, 0.9)

KINDS = ("dropped", "shuffled", "noise")

CORRUPTED_SHARES = (0.25, 0.5, 0.75, 1.0)

MODALITY_DROPOUT = 0.1


def ablation(base: RunConfig) -> Study:
    """What the score is made of, each alone and left out (IISAN, section 5; method, section 8).

    Of two modalities and more: intra and inter networks, each modality alone, gates that do not learn. Where the base
    adds a frozen path or what is counted to what is learned: each of these parts. Raises `RefusedError` where there is
    neither.
    """
    parts = _score_parts(base)
    if not parts:
        need_modalities(base, least=2, study="ablation")
    rows = _networks(base) if len(base.caches) > 1 else [Row("all parts", base)]
    return Study("ablation", "What does each part of the score add, and what do the gates?", (*rows, *parts))


def _networks(base: RunConfig) -> list[Row]:
    both = with_model(base, {"intra": True, "inter": True, "gates": "learned"})
    return [
        Row("intra + inter", both),
        Row("intra only", with_model(both, {"inter": False})),
        Row("inter only", with_model(both, {"intra": False})),
        *(Row(f"{modality} only", only(both, [modality])) for modality in both.caches),
        Row("even gates", with_model(both, {"gates": "even"})),
    ]


def _score_parts(base: RunConfig) -> list[Row]:
    """What is learned alone, and where both others are there, each of them left out; what is counted, alone."""
    parts = [name for name in ("frozen", "together") if getattr(base.model, name)]
    if not parts:
        return []
    rows = [Row("learned part only", with_model(base, dict.fromkeys(parts, False)))]
    if len(parts) > 1:
        rows += [Row(f"without {name}", with_model(base, {name: False})) for name in parts]
    if "together" in parts:
        rows.append(Row("together only", _counted(base, BaselineConfig(kind="item-knn"))))
    return rows


def layers(base: RunConfig) -> Study:
    """Choices among the cached layers, the same words for every modality; those that one cache lacks are left out.

    Extract with `--layers all` to have them all compared. Raises `RefusedError` where the caches leave no choice.
    """
    counts = {name: len(read_manifest(folder).layers) for name, folder in base.caches.items()}
    rows: dict[str, Row] = {}
    for choice in LAYER_CHOICES:
        read = _read(choice, counts)
        if read and str(read) not in rows:
            # Said as a run says it that chooses nothing, so that the same is not trained twice.
            config = with_model(base, {"layers": {} if choice == "all" else dict.fromkeys(counts, choice)})
            kept = {f"layers_{name}": float(len(numbers)) for name, numbers in read.items()}
            rows[str(read)] = Row(f"last {-int(choice.split(',')[0])}" if choice[0] == "-" else choice, config, kept)
    if len(rows) < 2:
        raise RefusedError(
            f"the caches hold {counts} layers, which leaves nothing to choose; extract with --layers all"
        )
    return Study("layers", "Which of the cached layers are worth reading?", tuple(rows.values()))


def _read(choice: str, counts: dict[str, int]) -> dict[str, list[int]]:
    """Modality → layers; nothing where a cache has too few for the choice."""
    try:
        return {name: choose_layers(choice, count - 1) for name, count in counts.items()}
    except RefusedError:
        return {}


def asymmetric(base: RunConfig, *, uncached_epochs: int = 1) -> Study:
    """DTL per block, shared and frozen; layer choices; each network and each modality alone; cached and uncached.

    The last two are trained for `uncached_epochs`, as backbones run in every step of the one; 0 leaves both out.
    Raises `RefusedError` for caches of equal width, which need no dimension transformation.
    """
    need_modalities(base, least=2, study="asymmetric")
    widths = {name: read_manifest(folder).widths[-1] for name, folder in base.caches.items()}
    if len(set(widths.values())) == 1:
        raise RefusedError(
            f"the caches' last layers have equal widths, {widths}, so no dimension transformation is at work; choose "
            "backbones of unequal widths with --cache"
        )
    as_is = with_model(base, {"intra": True, "inter": True, "transformation": "block"})
    rows = [
        Row("DTL per block", as_is, {"component": "transformation"}),
        Row("DTL shared", with_model(as_is, {"transformation": "shared"}), {"component": "transformation"}),
        Row("DTL frozen", with_model(as_is, {"transformation": "frozen"}), {"component": "transformation"}),
        *(Row(f"layers {row.name}", row.config, {"component": "layers"}) for row in _choices(as_is)),
        Row("intra only", with_model(as_is, {"inter": False}), {"component": "networks"}),
        Row("inter only", with_model(as_is, {"intra": False}), {"component": "networks"}),
        *(Row(f"{name} only", only(as_is, [name]), {"component": "networks"}) for name in as_is.caches),
        *_with_and_without_cache(as_is, uncached_epochs),
    ]
    return Study("asymmetric", "What does each component of an asymmetric pair add?", tuple(rows))


def _choices(config: RunConfig) -> tuple[Row, ...]:
    """The layers study's rows, where the caches leave a choice."""
    if all(len(read_manifest(folder).layers) < 2 for folder in config.caches.values()):
        return ()
    return layers(config).rows


def _with_and_without_cache(config: RunConfig, epochs: int) -> list[Row]:
    """The same few epochs of the same configuration, so that quality and seconds can be told apart."""
    if not epochs:
        return []
    epochs = min(epochs, config.training.epochs)
    short = config.model_copy(update={"training": config.training.model_copy(update={"epochs": epochs})})
    length = f"{epochs} epoch{'s' if epochs > 1 else ''}"
    return [
        Row(f"cached, {length}", short, {"component": "cache"}),
        Row(f"uncached, {length}", short, {"component": "cache"}, uncached=True),
    ]


def balance(base: RunConfig, *, shares: Sequence[float] = INTER_SHARES) -> Study:
    """One budget of SAN width, split between the intra networks and the inter network; the ends have one kind alone.

    The budget is what the base spends: r for each modality and for the inter network; `shares` of it, between 0 and
    1, go to the latter.
    """
    need_modalities(base, least=2, study="balance")
    modalities = len(base.caches)
    budget = modalities * base.model.bottleneck + (base.model.inter_bottleneck or base.model.bottleneck)
    rows = [Row("intra only", _split(base, budget // modalities, None), {"inter_share": 0.0})]
    for share in shares:
        inter = max(1, round(share * budget))
        intra = max(1, round((budget - inter) / modalities))
        facts = {"inter_share": inter / (inter + modalities * intra)}
        rows.append(Row(f"r = {intra} intra, {inter} inter", _split(base, intra, inter), facts))
    rows.append(Row("inter only", _split(base, None, budget), {"inter_share": 1.0}))
    return Study("balance", "How much of the width belongs between the modalities?", tuple(rows))


def _split(base: RunConfig, intra: int | None, inter: int | None) -> RunConfig:
    changes: dict[str, Any] = {
        "intra": intra is not None,
        "inter": inter is not None,
        "inter_bottleneck": inter,
        "bottlenecks": {},
    }
    return with_model(base, changes | {"bottleneck": intra or base.model.bottleneck})


def baselines(base: RunConfig) -> Study:
    """Counted, on ids alone, on frozen last layers, and IISAN with and without ids: one protocol, loop and loss.

    With several modalities IISAN stands there on each alone, without the inter network, and whole.
    """
    need_modalities(base, least=1, study="baselines")
    iisan = with_model(base, {"adapter": "san", "intra": True, "inter": True, "ids": False})
    with_ids = with_model(iisan, {"ids": True})
    rows = [
        Row("most popular", _counted(base, BaselineConfig(kind="popular"))),
        Row("item-kNN", _counted(base, BaselineConfig(kind="item-knn"))),
        Row("ids (SASRec)", only(with_ids, [])),
        Row("frozen + linear", with_model(iisan, {"adapter": "linear", "layers": _last_layers(iisan)})),
        Row("frozen + MLP", with_model(iisan, {"adapter": "mlp", "layers": _last_layers(iisan)})),
        *_parts(iisan),
        Row("IISAN", iisan),
        Row("IISAN + ids", with_ids),
    ]
    return Study("baselines", "What does IISAN gain over simpler recommenders?", tuple(rows))


def _counted(base: RunConfig, baseline: BaselineConfig) -> RunConfig:
    """Nothing but data and protocol matters to it, so nothing else is said."""
    return RunConfig(dataset=base.dataset, protocol=base.protocol, baseline=baseline)


def _last_layers(iisan: RunConfig) -> dict[str, str]:
    """Nothing but the last layer is read, so that what it costs is the baseline's own."""
    return dict.fromkeys(iisan.caches, "-1") | iisan.model.layers


def _parts(iisan: RunConfig) -> list[Row]:
    if len(iisan.caches) < 2:
        return []
    alone = [Row(f"IISAN, {modality} only", only(iisan, [modality])) for modality in iisan.caches]
    return [*alone, Row("IISAN, intra only", with_model(iisan, {"inter": False}))]


def robustness(base: RunConfig, *, shares: Sequence[float] = CORRUPTED_SHARES, both_times: bool = True) -> Study:
    """Corruption of one modality of a share of the items, at test time alone and – `both_times` – in training, too.

    Each with modality dropout and, where that is possible, without: a model that saw no gaps in training has nothing
    to put in one, so without dropout states are swapped and blurred, but not dropped.
    """
    need_modalities(base, least=2, study="robustness")
    with_dropout = with_model(base, {"modality_dropout": MODALITY_DROPOUT})
    without = with_model(base, {"modality_dropout": 0.0})
    rows = [*_tested(with_dropout, "with dropout", KINDS, shares)]
    rows += _tested(without, "without dropout", ("shuffled", "noise"), shares)
    if both_times:
        rows += _trained(with_dropout, shares)
    return Study("robustness", "What do missing, swapped and noisy texts and pictures cost?", tuple(rows))


def _tested(config: RunConfig, how: str, kinds: Sequence[str], shares: Sequence[float]) -> Iterator[Row]:
    when = f"test, {how}"
    yield Row(f"whole, {how}", config, {"modality": None, "damage": None, "share": 0.0, "when": when})
    for name, facts, corruption in _corruptions(config, kinds, shares, when=when):
        yield Row(f"{name} at {when}", config, facts, corruption)


def _trained(config: RunConfig, shares: Sequence[float]) -> Iterator[Row]:
    for name, facts, corruption in _corruptions(config, KINDS, shares, when="training and test"):
        yield Row(f"{name} at both times", config.model_copy(update={"corruption": corruption}), facts)


def _corruptions(
    config: RunConfig, kinds: Sequence[str], shares: Sequence[float], *, when: str
) -> Iterator[tuple[str, dict[str, Fact], dict[str, CorruptionConfig]]]:
    """A name, a row's facts, and what is done to one modality."""
    for modality, kind, share in product(config.caches, kinds, shares):
        facts: dict[str, Fact] = {"modality": modality, "damage": kind, "share": share, "when": when}
        corruption = CorruptionConfig.model_validate({"kind": kind, "share": share})
        yield f"{modality} {kind} {share:.0%}", facts, {modality: corruption}


def scaling(base: RunConfig, caches: Mapping[str, Sequence[Path]]) -> Study:
    """Every combination of one cache per modality, smaller backbones first; `caches` are of one dataset.

    Raises `RefusedError` where there is one combination only, so that nothing can be compared.
    """
    manifests = {name: _by_size(folders) for name, folders in caches.items()}
    combinations = list(product(*(manifests[name].items() for name in manifests)))
    if len(combinations) < 2:
        raise RefusedError(
            f"there is one cache for each of {', '.join(caches)}, so nothing to compare; extract with another backbone"
        )
    rows = []
    for combination in combinations:
        chosen = dict(zip(manifests, combination, strict=True))
        config = base.model_copy(update={"caches": {name: folder for name, (folder, _) in chosen.items()}})
        name = " + ".join(f"{_label(manifest)} ({name})" for name, (_, manifest) in chosen.items())
        facts = {f"size_{name}": float(_size(manifest)) for name, (_, manifest) in chosen.items()}
        labels = {f"backbone_{name}": _label(manifest) for name, (_, manifest) in chosen.items()}
        cached = sum(float(manifest.row_bytes) for _, manifest in chosen.values())
        rows.append(Row(name, config, facts | labels | {"bytes_per_item": cached}))
    return Study("scaling", "What do larger encoders buy?", tuple(rows))


def _by_size(folders: Sequence[Path]) -> dict[Path, CacheManifest]:
    manifests = {folder: read_manifest(folder) for folder in folders}
    return dict(sorted(manifests.items(), key=lambda item: _size(item[1])))


def _size(manifest: CacheManifest) -> int:
    """Depth times width: how large the states that could be kept are, whatever the family."""
    return manifest.layers[-1] * manifest.widths[-1]


def _label(manifest: CacheManifest) -> str:
    return Path(manifest.backbone).name


STUDIES: dict[str, Callable[[RunConfig], Study]] = {
    "ablation": ablation,
    "asymmetric": asymmetric,
    "balance": balance,
    "baselines": baselines,
    "layers": layers,
    "robustness": robustness,
}
"""Those that start from one configuration; `scaling` also needs the caches to choose from."""
