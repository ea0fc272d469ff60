"""Runs side by side: one table, its uncertainty and cost; and grids of runs that end in one."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
