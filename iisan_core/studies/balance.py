"""How much of the width should go to the network between the modalities."""

from __future__ import annotations

from collections.abc import Sequence

from iisan_core.config import RunConfig
from iisan_core.studies.changes import need_modalities, with_model
from iisan_core.studies.study import Row, Study

SHARES = (0.1, 0.2, 1 / 3, 0.5, 0.7, 0.9)


def balance(base: RunConfig, *, shares: Sequence[float] = SHARES) -> Study:
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
    changes = {"intra": intra is not None, "inter": inter is not None, "inter_bottleneck": inter}
    return with_model(base, changes | {"bottleneck": intra or base.model.bottleneck})
