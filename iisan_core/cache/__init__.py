"""Hidden-state caches: what backbones say of every item, computed once and read by row."""
