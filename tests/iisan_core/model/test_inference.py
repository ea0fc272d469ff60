import torch
from torch.testing import assert_close

from iisan_core.model import inference
from iisan_core.model.inference import user_table
from iisan_core.model.user_encoder import SASRec

E, S = 8, 4


def test_users_of_any_length_keep_their_order(monkeypatch):
    monkeypatch.setattr(inference, "USERS_AT_ONCE_ON_CPU", 2)
    torch.manual_seed(0)
    encoder = SASRec(width=E, positions=S, blocks=2, heads=2, dropout=0.1)
    table = torch.randn(10, E)
    histories = torch.tensor([[1, 2, 3, 4], [0, 0, 0, 5], [0, 6, 7, 8], [0, 0, 9, 1], [0, 0, 0, 0]])
    alone = [encoder.eval().padded(table[h[None]], h[None] > 0)[0, -1] for h in histories]
    assert_close(user_table(encoder, table, histories), torch.stack(alone))
