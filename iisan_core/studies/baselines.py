"""What IISAN has to beat, and what ids add to it."""

from __future__ import annotations

from iisan_core.config import BaselineConfig, RunConfig
from iisan_core.studies.changes import need_modalities, only, with_model
from iisan_core.studies.study import Row, Study


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
