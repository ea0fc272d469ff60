"""Ways to adapt a backbone from within. Each starts where the pretrained backbone is: the first step sees its states.

Only what a method trains requires gradients afterwards; pretrained weights are kept, never drawn anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from iisan_core.backbones.base import Backbone
from iisan_core.config.schema import Method, MethodOptions
from iisan_core.errors import RefusedError
from iisan_core.model.san import SANB

QUERY_AND_VALUE = {"query", "value", "q_proj", "v_proj", "q_lin", "v_lin", "qkv", "c_attn", "query_key_value", "Wqkv"}

KEY = {"key", "k_proj", "k_lin"}

INTO_THE_BRANCH = QUERY_AND_VALUE | KEY
"""Names of the linears that begin an attention; whatever else ends at the layer's width ends a branch."""


class Adapter(SANB):
    """A bottleneck with a shortcut (Houlsby et al., 2019) whose way back is zero at the start: the identity."""

    def __init__(self, *, width: int, bottleneck: int) -> None:
        super().__init__(width=width, bottleneck=bottleneck, activation="gelu")
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[…, D] → […, D]."""
        return super().forward(x.flatten(0, -2)).view_as(x)


def add_lora(backbone: Backbone, options: MethodOptions) -> None:
    """Low-rank updates beside query and value (Hu et al., 2021), by the peft library; their product starts at 0."""
    targets = _named(backbone, QUERY_AND_VALUE)
    config = LoraConfig(r=options.lora_rank, lora_alpha=options.lora_alpha, target_modules=targets)
    inject_adapter_in_model(config, backbone.model)


def add_adapters(backbone: Backbone, options: MethodOptions) -> None:
    """An adapter after the attention and after the feed-forward of every layer, before their shortcuts."""
    ends = _branch_ends(backbone)
    for name in ends:
        parent_name, _, own = name.rpartition(".")
        parent = backbone.model.get_submodule(parent_name)
        linear: Any = backbone.model.get_submodule(name)
        adapter = Adapter(width=linear.out_features, bottleneck=options.adapter_bottleneck)
        setattr(parent, own, nn.Sequential(linear, adapter))


def train_biases(backbone: Backbone, options: MethodOptions) -> None:
    """BitFit (Ben Zaken et al., 2022): nothing is added, the biases are trained."""
    biases = [p for name, p in backbone.model.named_parameters() if name.endswith("bias")]
    if not biases:
        raise RefusedError(f"{backbone.name} has no biases, so BitFit has nothing to train; choose lora or adapter")
    for bias in biases:
        bias.requires_grad_()


def train_everything(backbone: Backbone, options: MethodOptions) -> None:
    """Full fine-tuning."""
    backbone.model.requires_grad_()


ADAPTATIONS: dict[Method, Callable[[Backbone, MethodOptions], None]] = {
    "lora": add_lora,
    "adapter": add_adapters,
    "bitfit": train_biases,
    "full": train_everything,
}
"""Methods that train inside the backbones."""


def _named(backbone: Backbone, names: set[str]) -> list[str]:
    found = [name for name, _ in backbone.model.named_modules() if name.rpartition(".")[2] in names]
    if not found:
        raise RefusedError(
            f"{backbone.name} has no attention whose query and value go by a known name "
            f"({', '.join(sorted(names))}); choose adapter, bitfit or full"
        )
    return found


def _branch_ends(backbone: Backbone) -> list[str]:
    """Linears inside the layers that end at a layer's width: the last of attention and of feed-forward."""
    kinds = tuple(
        {type(point.module) for point in backbone.hook_points[1:]}
    )  # the last layer may be hooked behind a norm
    layers = {name for name, module in backbone.model.named_modules() if isinstance(module, kinds)}
    ends = [
        name
        for name, module in backbone.model.named_modules()
        if isinstance(module, nn.Linear)
        and module.out_features in backbone.widths
        and name.rpartition(".")[2] not in INTO_THE_BRANCH
        and any(name.startswith(f"{layer}.") for layer in layers)
    ]
    if not ends:
        raise RefusedError(
            f"{backbone.name} has no linears that end at its layers' width, so adapters have no place; "
            "choose bitfit or full"
        )
    return ends
