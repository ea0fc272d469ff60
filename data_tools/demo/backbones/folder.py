"""A model folder as transformers reads it: configuration, weights, and a card that says what it is."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

CARD = """# {title}

- Trained on {data}, and on nothing else: no other modality, no attributes, no interactions, no outside data.
- Objective: {objective}.
- Training: {steps} steps of {batch_size} items, seed {seed}; mean loss of the last tenth {loss:.4f}.
- Size: {layers} layers of width {width}, {parameters:,} parameters.
- Use the hidden states, `mean` pooled. The pooler was not trained: it is the identity followed by tanh.
"""


def adopt_encoder(model: PreTrainedModel, weights: dict[str, Tensor]) -> None:
    """Give `model` the trained encoder's weights and, as nothing trained one, a pooler that mixes nothing."""
    model.load_state_dict(weights, strict=False)
    nn.init.eye_(model.pooler.dense.weight)
    nn.init.zeros_(model.pooler.dense.bias)


def write_model(model: PreTrainedModel, folder: Path) -> None:
    """Write `config.json` and `model.safetensors`, without the progress bar of `save_pretrained`."""
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    weights = {name: weight.contiguous() for name, weight in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def write_card(
    model: PreTrainedModel,
    folder: Path,
    *,
    title: str,
    data: str,
    objective: str,
    steps: int,
    batch_size: int,
    seed: int,
    loss: float,
) -> None:
    """Write the `README.md` of a model folder: trained on what, how, and to which loss."""
    text = CARD.format(
        title=title,
        data=data,
        objective=objective,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        loss=loss,
        layers=model.config.num_hidden_layers,
        width=model.config.hidden_size,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
