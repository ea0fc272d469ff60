"""Hidden-state caches: every item once through a frozen backbone, kept, and read by row (method, section 1)."""
