"""Grids of configurations, run one after another, each ending in one table."""
