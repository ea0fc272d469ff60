"""Runs side by side: one table, its uncertainty and cost; and grids of runs that end in one."""
