"""The model, bottom-up: SAN blocks, item encoder, user encoder, and the recommender they make.

Axis letters, here and everywhere: `B` users in a batch, `S` positions in a sequence, `N` items, `n` some items,
`L` cached layers, `D` backbone width, `r` SAN bottleneck, `E` width of item and user vectors.
"""
