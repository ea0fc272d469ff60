"""The library: caches, models, training, evaluation, serving."""
