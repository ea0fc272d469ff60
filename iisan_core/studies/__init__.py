"""Grids of configurations, run one after another, each ending in one table.

A study is a question and a few configurations; `run_study` trains what is missing and writes the table beside the
runs.
"""

from collections.abc import Callable

from iisan_core.config import RunConfig
from iisan_core.studies.ablation import ablation
from iisan_core.studies.asymmetric import asymmetric
from iisan_core.studies.balance import balance
from iisan_core.studies.baselines import baselines
from iisan_core.studies.layers import layers
from iisan_core.studies.robustness import robustness
from iisan_core.studies.running import StudyProgress, run_study
from iisan_core.studies.scaling import scaling
from iisan_core.studies.study import Row, Study
from iisan_core.studies.table import study_table
from iisan_core.study_folder import read_table

STUDIES: dict[str, Callable[[RunConfig], Study]] = {
    "ablation": ablation,
    "asymmetric": asymmetric,
    "balance": balance,
    "baselines": baselines,
    "layers": layers,
    "robustness": robustness,
}
"""Those that start from one configuration; `scaling` also needs the caches to choose from."""

__all__ = [
    "STUDIES",
    "Row",
    "Study",
    "StudyProgress",
    "ablation",
    "asymmetric",
    "balance",
    "baselines",
    "layers",
    "read_table",
    "robustness",
    "run_study",
    "scaling",
    "study_table",
]
