"""Frozen foundation models: which layers, how pooled, from where."""
