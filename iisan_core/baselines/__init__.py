"""What a model must beat: the most popular items, item neighbours."""
