"""The method's model, to be read in this order.

`san` (side-adapted networks), `item_encoder` (states → item vectors), `user_encoder` (their sequences → user states),
`recommender` (both), `loss`. Around them: `inputs` (what is done to cached states first), `inference` (whole catalogues
at once), `saving`, and `fused` (faster forms of the blocks and the loss).

Axis letters, here and everywhere: `U` users, `B` users in a batch, `S` positions in a sequence, `P` all real ones;
`N` items, `C` distinct items of a batch, `n` some items; `M` modalities, `L` cached layers, `D` width of one (`ΣD`: all
of a modality side by side), `r` SAN bottleneck, `E` width of item and user vectors. Item numbers count from 1; row 0 of
a table [N + 1, E] is padding. "Method, section n" is this project's account of IISAN (arXiv 2404.02059) and IISAN-Versa
(arXiv 2411.02992).
"""
