"""The program that stands beside exported encoders and serves them without this package."""

from __future__ import annotations

from typing import Any

START = {
    "onnx": """import onnxruntime

encoder = onnxruntime.InferenceSession(here / "user_encoder.onnx")


def state_of(vectors, real):
    return encoder.run(None, {"vectors": vectors, "real": real})[0][0]
""",
    "torch-export": """import torch

encoder = torch.export.load(here / "user_encoder.pt2").module()


def state_of(vectors, real):
    return encoder(torch.from_numpy(vectors), torch.from_numpy(real)).detach().numpy()[0]
""",
}
"""How a user's state is made, by form."""

PROGRAM = '''"""Recommends ten items to a history, `python serve.py ITEM …`, oldest first. Needs numpy and {library}."""

import json
import sys
from pathlib import Path

import numpy as np

here = Path(__file__).parent
{start}

ids, table = json.loads((here / "item_ids.json").read_text(encoding="utf-8")), np.load(here / "items.npy")
number = {{item: n for n, item in enumerate(ids, start=1)}}
history = [number[item] for item in sys.argv[1:]]
newest = np.array([history[-{newest}:]])
scores = table @ state_of(table[newest], np.ones(newest.shape, bool))
{counted}scores[[0, *history]] = -np.inf  # row 0 is padding
best = np.argsort(-scores, kind="stable")[:10]
print(json.dumps([[ids[n - 1], float(scores[n])] for n in best if scores[n] > -np.inf]))
'''

COUNTED = """together = np.load(here / "together.npz")
for age, n in enumerate(reversed(history[-{newest}:])):
    row = slice(*together["starts"][n : n + 2])
    scores[together["items"][row]] += {weight} * {recency}**age * together["values"][row]
"""


def program_of(says: dict[str, Any], form: str) -> str:
    """The text of `serve.py`; `says`: what `export.json` does."""
    counted = COUNTED.format(**says["counted"]) if says["counted"] else ""
    library = "onnxruntime" if form == "onnx" else "torch"
    return PROGRAM.format(
        library=library, start=START[form].rstrip("\n"), newest=says["newest_items_read"], counted=counted
    )
