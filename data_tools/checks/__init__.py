"""What somebody should know about a dataset before training on it."""

from __future__ import annotations

from data_tools.checks.catalogue import CATALOGUE_CHECKS
from data_tools.checks.finding import Finding
from data_tools.checks.log import LOG_CHECKS
from iisan_core.data.dataset import Dataset

__all__ = ["Finding", "check"]
SEVERITIES = ("error", "warning", "note")


def check(dataset: Dataset) -> list[Finding]:
    """Everything worth saying about `dataset`, errors first; an empty list means nothing was found."""
    findings = [found for look in (*LOG_CHECKS, *CATALOGUE_CHECKS) for found in look(dataset) if found.count]
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
