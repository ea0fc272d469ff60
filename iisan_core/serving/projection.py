"""Item vectors on a plane, for people to look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def project(vectors: NDArray[np.floating]) -> tuple[NDArray[np.float64], float]:
    """The first two principal components of `vectors`, [N, 2], and the share of the variance that they hold, 0 to 1.

    Exact, from the covariance in float64; the largest coordinate of each is positive, so equal vectors always give the
    same picture. Vectors that are all equal lie in one point, and one-dimensional ones on a line.

    vectors  [N, E], padding left out
    """
    centred = np.asarray(vectors, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    variances, axes = np.linalg.eigh(centred.T @ centred)  # ascending
    plane = centred @ axes[:, :-3:-1]  # [N, 2]
    if plane.shape[1] < 2:
        plane = np.column_stack([plane, np.zeros(len(plane))])
    furthest = plane[np.abs(plane).argmax(axis=0), [0, 1]]
    total = float(variances.sum())
    held = float(variances[-2:].sum()) / total if total > 0 else 0.0
    return plane * np.where(furthest < 0, -1.0, 1.0), held
