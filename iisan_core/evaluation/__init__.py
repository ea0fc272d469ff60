"""Whom a model serves how well: metrics over all users or groups of them, from every user's rank."""
