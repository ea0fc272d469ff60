"""What each network adds."""

from __future__ import annotations

from iisan_core.config import RunConfig
from iisan_core.studies.changes import need_modalities, only, with_model
from iisan_core.studies.study import Row, Study


def ablation(base: RunConfig) -> Study:
    """Intra and inter networks, each alone, one modality alone, and gates that do not learn (IISAN, section 5)."""
    need_modalities(base, least=2, study="ablation")
    both = with_model(base, {"intra": True, "inter": True, "gates": "learned"})
    rows = [
        Row("intra + inter", both),
        Row("intra only", with_model(both, {"inter": False})),
        Row("inter only", with_model(both, {"intra": False})),
        *(Row(f"{modality} only", only(both, [modality])) for modality in both.caches),
        Row("even gates", with_model(both, {"gates": "even"})),
    ]
    return Study("ablation", "What does each network add, and what do the gates?", tuple(rows))
