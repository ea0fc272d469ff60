"""What missing, swapped and noisy texts and pictures cost (method, section 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iisan_core.config import DamageConfig, RunConfig
from iisan_core.studies.changes import need_modalities, with_model
from iisan_core.studies.study import Fact, Row, Study

KINDS = ("dropped", "shuffled", "noise")
SHARES = (0.25, 0.5, 0.75, 1.0)
DROPOUT = 0.1


def robustness(base: RunConfig, *, shares: Sequence[float] = SHARES, both_times: bool = True) -> Study:
    """Damage to one modality of a share of the items, at test time alone and – `both_times` – in training, too.

    Each with modality dropout and, where that is possible, without: a model that saw no gaps in training has nothing
    to put in one, so without dropout states are swapped and blurred, but not dropped.
    """
    need_modalities(base, least=2, study="robustness")
    with_dropout = with_model(base, {"modality_dropout": DROPOUT})
    without = with_model(base, {"modality_dropout": 0.0})
    rows = [*_tested(with_dropout, "with dropout", KINDS, shares)]
    rows += _tested(without, "without dropout", ("shuffled", "noise"), shares)
    if both_times:
        rows += _trained(with_dropout, shares)
    return Study("robustness", "What do missing, swapped and noisy texts and pictures cost?", tuple(rows))


def _tested(config: RunConfig, how: str, kinds: Sequence[str], shares: Sequence[float]) -> Iterator[Row]:
    yield Row(f"whole, {how}", config, {"modality": None, "damage": None, "share": 0.0, "when": f"test, {how}"})
    for modality, kind, share, damage in _damages(config, kinds, shares):
        facts: dict[str, Fact] = {"modality": modality, "damage": kind, "share": share, "when": f"test, {how}"}
        yield Row(f"{modality} {kind} {share:.0%} at test, {how}", config, facts, {modality: damage})


def _trained(config: RunConfig, shares: Sequence[float]) -> Iterator[Row]:
    for modality, kind, share, damage in _damages(config, KINDS, shares):
        facts: dict[str, Fact] = {"modality": modality, "damage": kind, "share": share, "when": "training and test"}
        damaged = config.model_copy(update={"damage": {modality: damage}})
        yield Row(f"{modality} {kind} {share:.0%} at both times", damaged, facts)


def _damages(
    config: RunConfig, kinds: Sequence[str], shares: Sequence[float]
) -> Iterator[tuple[str, str, float, DamageConfig]]:
    for modality in config.caches:
        for kind in kinds:
            for share in shares:
                yield modality, kind, share, DamageConfig.model_validate({"kind": kind, "share": share})
