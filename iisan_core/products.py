"""Float32 products of many rows with one table, at the rate that the processor has."""

from __future__ import annotations

import torch
from torch import Tensor


class Products:
    """The products of rows [n, E] with a table [N, E], float32 [n, N].

    On CPUs torch multiplies float32 by MKL, which leaves half of the widest vectors of other makers' processors unused.
    oneDNN, which torch ships for its compiler, uses all; it wants the table in an order of its own, which is made once
    and takes as much memory again.
    """

    def __init__(self, table: Tensor) -> None:
        self._packed = on_wide_cpu(table)
        self._table = torch.ops.mkldnn._reorder_linear_weight(table) if self._packed else table.T.contiguous()

    def __call__(self, rows: Tensor) -> Tensor:
        """Float32 [n, E] → [n, N]; nothing in it can be differentiated."""
        if self._packed:
            found: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._table, None, "none", [], "")
            return found
        return rows @ self._table


def on_wide_cpu(table: Tensor) -> bool:
    """Whether oneDNN serves a table better than MKL does: in float32, on a CPU with vectors of 512 bits."""
    return (
        table.device.type == "cpu"
        and table.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
