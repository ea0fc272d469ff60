"""Ranking in the form of the released programs: dense labels, and a full sort for one user after the other."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tests.benchmarks.released_users import ReleasedUsers

TOP = 10


class EvaluationUsers(Dataset):
    def __init__(self, histories: np.ndarray, targets: np.ndarray, table: Tensor, *, inputs: int) -> None:
        self.histories, self.targets, self.table, self.inputs = histories, targets, table, inputs

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, user: int) -> tuple[Tensor, Tensor, Tensor, np.ndarray]:
        items = self.histories[user][-self.inputs :]
        labels = np.zeros(len(self.table) - 1)
        labels[self.targets[user] - 1] = 1.0
        mask = torch.from_numpy((items > 0).astype(np.float32))
        return torch.LongTensor([user]), self.table[items], mask, labels


@torch.no_grad()
def evaluate(
    users: ReleasedUsers, table: Tensor, histories: np.ndarray, targets: np.ndarray, *, inputs: int, batch_size: int
) -> tuple[float, float]:
    """HR@10 and NDCG@10 of item vectors [N + 1, E], histories [U, H] and targets [U]."""
    dataset = EvaluationUsers(histories, targets, table, inputs=inputs)
    places = torch.Tensor(np.arange(len(table) - 1) + 1)
    found = []
    for user_ids, sequence, mask, labels in DataLoader(dataset, batch_size=batch_size):
        states = users(sequence, mask)[:, -1]
        scores = states @ table.t()
        for user, label, score in zip(user_ids, labels, scores, strict=True):
            score[torch.from_numpy(histories[user[0].item()])] = -np.inf
            found.append(_metrics(score[1:], label, places))
    hits, gains = torch.stack(found).mean(dim=0).tolist()
    return 100 * hits, 100 * gains


def _metrics(scores: Tensor, labels: Tensor, places: Tensor) -> Tensor:
    order = torch.argsort(scores, descending=True)
    rank = torch.sum(torch.take(labels, order) * places)
    figures = torch.zeros(2)
    if rank <= TOP:
        figures[0] = 1
        figures[1] = 1 / math.log2(rank + 1)
    return figures
