"""A checkpoint of the authors' programs, symmetric or asymmetric (IISAN-Versa), as a run of ours.

They pickle a dictionary of tensors; it is read by torch's reader of tensors alone, which runs nothing of a file.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from iisan_core.config.schema import INTER, ModelConfig, ProtocolConfig, RunConfig, validated
from iisan_core.errors import RefusedError, first_sentence
from iisan_core.model.recommender import RecommenderModel
from iisan_core.model.saving import save_model
from iisan_core.runs.results import save_items, write_outcome
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.worker import only_worker
from iisan_core.training.device import choose_device, reset_peak_memory
from iisan_core.training.inputs import RunInputs

MODALITIES = ("image", "text")
"""In the programs' order of fusion, which is that of the inter gate, too."""
CALLED = {"cv": "image", "bert": "text", "mm": INTER}
"""What the programs call the towers."""
WEIGHTS = ("model_state_dict", "state_dict")
MOST_GROWTH = 2
"""A file that unpacks to more than so many times its size is no checkpoint: torch does not compress tensors."""
MOST_TENSORS = 20_000
SHOWN = 5

ATTENTION = r"user_encoder\.transformer_encoder\.transformer_blocks\.(\d+)\.multi_head_attention"
FEED = r"user_encoder\.transformer_encoder\.transformer_blocks\.(\d+)\.feed_forward"
NAMES: tuple[tuple[str, str], ...] = (
    (
        r"mm_encoder\.(cv|bert|mm)_adapter_list\.(\d+)\.fc_(down|up)\.(weight|bias)",
        "items.towers.{0}.block.{1}.{2}.{3}",
    ),
    (r"mm_encoder\.down_project_list\.(\d+)\.(weight|bias)", "items.towers.inter.dtl.{wider}.{0}.{1}"),
    (r"mm_encoder\.fc_(cv|bert|mm)\.(weight|bias)", "items.heads.{0}.inner.{1}"),
    (r"mm_encoder\.(cv|bert)_pre_fc\.(weight|bias)", "items.heads.{0}.outer.{1}"),
    (r"mm_encoder\.fc_(mm)_down\.(weight|bias)", "items.heads.{0}.outer.{1}"),
    (r"com_dense\.(weight|bias)", "items.fusion.{0}"),
    (r"user_encoder\.transformer_encoder\.position_embedding\.weight", "users.position.weight"),
    (r"user_encoder\.transformer_encoder\.layer_norm\.(weight|bias)", "users.norm.{0}"),
    (ATTENTION + r"\.fc\.weight", "users.block.{0}.attention.out.weight"),
    (ATTENTION + r"\.layer_norm\.(weight|bias)", "users.block.{0}.attention_norm.{1}"),
    (FEED + r"\.w_1\.(weight|bias)", "users.block.{0}.wide.{1}"),
    (FEED + r"\.w_2\.(weight|bias)", "users.block.{0}.narrow.{1}"),
    (FEED + r"\.layer_norm\.(weight|bias)", "users.block.{0}.feed_forward_norm.{1}"),
)
"""Their names → ours, of tensors that are taken as they are."""
GATE = re.compile(r"mm_encoder\.side_gate_params_(cv|text|mm)\.(\d+)")
PROJECTION = re.compile(ATTENTION + r"\.w_([QKV])\.weight")


def import_checkpoint(file: Path, config: RunConfig, path: Path, *, command: str = "") -> RunFolder:
    """Make the run folder `path` of a checkpoint, measured on the dataset and caches of `config`.

    config   its model and length of history are those of the checkpoint's tensors; what these do not say stays as it
             is here: `model.activation`, `model.heads`, `model.layers`

    Raises `RefusedError` before the folder exists if the file is no such checkpoint, a tensor is unknown, missing or of
    another shape, or the caches are of others than the checkpoint read.
    """
    tensors = read_checkpoint(file)
    found = Released.of(tensors, where=file)
    config = found.fitted(config).with_absolute_paths()
    if config.training.precision == "auto":
        config = config.with_precision("float32")
    inputs = RunInputs.open(config)
    device = choose_device(config.training.device)
    reset_peak_memory(device)
    states = inputs.states(device)
    if states.missing:
        raise RefusedError(
            f"{', '.join(states.missing)}: some items of {config.dataset} have none, and the authors' programs have "
            "nothing that stands in for one; leave these items out"
        )
    shape = inputs.shape(config, states)
    read = {n: [w[layer] for layer in shape.kept.get(n, range(len(w)))] for n, w in shape.widths.items()}
    _check_layers(found, read, where=file)
    model = RecommenderModel(shape)
    _load(model, found, where=file)
    run = RunFolder.create(path, config=config, command=command)
    with only_worker(run):
        save_items(run, inputs.split)
        save_model(model, run.best)
        for line in found.said(file):
            run.write_log(line)
        write_outcome(run, model.to(device).eval(), states, inputs, config)
        run.write_status("finished", epoch=0, epochs=0, message=f"imported from {file.name}")
    return run


def read_checkpoint(file: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name; raises `RefusedError` for whatever else a file may hold."""
    if not file.is_file():
        raise RefusedError(f"no checkpoint at {file}; give the file that the authors' programs wrote")
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as packed:
            unpacked = sum(entry.file_size for entry in packed.infolist())
        if unpacked > MOST_GROWTH * max(file.stat().st_size, 2**20):
            raise RefusedError(f"{file} would unpack to {unpacked:,} bytes, many times its size; it is no checkpoint")
    try:
        whole = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # of pickle, zip and torch alike; nothing of the file was run
        raise RefusedError(
            f"{file} cannot be read as tensors alone: {first_sentence(error)}; what else it holds is not run"
        ) from None
    weights = next((whole[name] for name in WEIGHTS if isinstance(whole, dict) and name in whole), whole)
    if not isinstance(weights, dict) or not weights or not all(isinstance(t, Tensor) for t in weights.values()):
        raise RefusedError(f"{file} holds no tensors by name; give a checkpoint with model_state_dict")
    if len(weights) > MOST_TENSORS:
        raise RefusedError(f"{file} holds {len(weights):,} tensors; a checkpoint of these programs has some hundred")
    return {str(name).removeprefix("module."): tensor for name, tensor in weights.items()}


@dataclass(frozen=True)
class Released:
    """A checkpoint in our names, and what its tensors say of its shape."""

    tensors: dict[str, Tensor]
    """Our name → tensor, float32."""
    sources: dict[str, str]
    """Our name → theirs."""
    unread: tuple[str, ...]
    """Theirs that the programs themselves never read: of inter blocks beyond the shorter list."""

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], *, where: object) -> Released:
        """Raises `RefusedError` naming the tensors that are unknown."""
        wider = _wider(tensors)
        ours: dict[str, Tensor] = {}
        sources: dict[str, str] = {}
        unknown = []
        for theirs, tensor in tensors.items():
            name = _renamed(theirs, wider)
            if name is not None:
                ours[name], sources[name] = tensor.float(), theirs
            elif not (GATE.fullmatch(theirs) or PROJECTION.fullmatch(theirs)):
                unknown.append(theirs)
        if unknown:
            raise RefusedError(f"{where} has tensors that are unknown here: {_some(unknown)}; {OTHERS}")
        for name, parts in (*_gates(tensors), *_projections(tensors)):
            ours[name], sources[name] = parts, f"the parts of {name}"
        depth = min((_blocks(ours, name) for name in MODALITIES if _blocks(ours, name)), default=0)
        beyond = [name for name in ours if depth and _number_of_inter(name) >= depth]
        unread = tuple(sources[name] for name in beyond)
        if (gate := ours.get("items.towers.inter.gate")) is not None and depth:
            ours["items.towers.inter.gate"] = gate[:depth]
        kept = {name: tensor for name, tensor in ours.items() if name not in beyond}
        return cls(kept, {name: sources[name] for name in kept}, unread)

    def fitted(self, config: RunConfig) -> RunConfig:
        """The configuration with all that the tensors say; raises `RefusedError` where they do not say enough."""
        towers = [name for name in (*MODALITIES, INTER) if _blocks(self.tensors, name)]
        missing = [name for name in ("items.fusion.weight", "users.position.weight") if name not in self.tensors]
        if not towers or missing:
            raise RefusedError(
                "the checkpoint has no " + (_some(missing) if missing else "side networks") + f" of ours; {OTHERS}"
            )
        if sorted(config.caches) != sorted(MODALITIES):
            raise RefusedError(
                f"the checkpoint reads pictures and texts, and there are caches of "
                f"{', '.join(config.caches) or 'nothing'}; give one cache image and one cache text"
            )
        widths = {name: self._at(f"items.towers.{name}.block.0.down.bias").shape[0] for name in towers}
        positions, embedding = self._at("users.position.weight").shape
        versa = any(self._hidden(name) == embedding for name in MODALITIES if name in towers)
        first = widths[towers[-2] if len(towers) > 1 else towers[0]]
        blocks = 1 + max((int(n.split(".")[2]) for n in self.tensors if n.startswith("users.block.")), default=-1)
        shape = {
            "bottleneck": first,
            "bottlenecks": {name: widths[name] for name in towers if name != INTER and widths[name] != first},
            "inter_bottleneck": widths[INTER] if widths.get(INTER, first) != first else None,
            "embedding": embedding,
            "blocks": blocks,
            "intra": MODALITIES[0] in towers,
            "inter": INTER in towers,
            "head": "stacked-versa" if versa else "stacked",
            "adapter": "san", "ids": False, "standardize": False, "frozen": False, "together": False,
            "user_encoder": "sasrec",
        }  # fmt: skip
        model = validated(ModelConfig, config.model.model_dump() | shape, where="the checkpoint's model")
        protocol = validated(
            ProtocolConfig, config.protocol.model_dump() | {"max_history": positions}, where="the checkpoint's protocol"
        )
        caches = {name: config.caches[name] for name in MODALITIES}
        return config.model_copy(update={"model": model, "protocol": protocol, "caches": caches})

    def blocks(self) -> dict[str, tuple[int, int]]:
        """Modality → how many layers it reads, and how wide its last is."""
        told = {}
        for name in MODALITIES:
            if count := _blocks(self.tensors, name):
                told[name] = (count, self._at(f"items.towers.{name}.block.0.down.weight").shape[1])
        return told

    def said(self, file: Path) -> Iterator[str]:
        """What was taken, for the log."""
        count = sum(tensor.numel() for tensor in self.tensors.values())
        yield f"imported {len(self.tensors):,} tensors ({count:,} numbers) from {file.name}"
        if self.unread:
            yield f"left out, for the authors' program never reads them: {', '.join(self.unread)}"

    def _hidden(self, name: str) -> int:
        return int(self._at(f"items.heads.{name}.inner.weight").shape[0])

    def _at(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise RefusedError(f"the checkpoint lacks a tensor: {name} is missing; {OTHERS}")
        return self.tensors[name]


OTHERS = (
    "read are checkpoints of the cached programs IISAN (symmetric) and IISAN-Versa (asymmetric), with gated fusion and "
    "networks within and between modalities"
)


def _renamed(theirs: str, wider: str) -> str | None:
    for pattern, ours in NAMES:
        if found := re.fullmatch(pattern, theirs):
            return ours.format(*(CALLED.get(part, part) for part in found.groups()), wider=wider)
    return None


def _gates(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """One number a block there, one tensor a tower here; the inter gate weighs the picture in both."""
    for called, name in (("cv", "image"), ("text", "text"), ("mm", INTER)):
        numbers = _numbered(tensors, rf"mm_encoder\.side_gate_params_{called}\.(\d+)")
        if numbers:
            gate = torch.cat([tensor.float().reshape(-1) for tensor in numbers])
            yield f"items.towers.{name}.gate", gate.unsqueeze(1) if name == INTER else gate


def _projections(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Query, key and value: three tensors there, one here."""
    blocks = {found[1] for name in tensors if (found := PROJECTION.fullmatch(name))}
    for block in sorted(blocks, key=int):
        prefix = f"user_encoder.transformer_encoder.transformer_blocks.{block}.multi_head_attention"
        names = [f"{prefix}.w_{letter}.weight" for letter in "QKV"]
        if missing := [name for name in names if name not in tensors]:
            raise RefusedError(f"the checkpoint lacks a tensor: {_some(missing)} is missing; {OTHERS}")
        yield f"users.block.{block}.attention.qkv.weight", torch.cat([tensors[name].float() for name in names])


def _numbered(tensors: Mapping[str, Tensor], pattern: str) -> list[Tensor]:
    found = {int(match[1]): tensor for name, tensor in tensors.items() if (match := re.fullmatch(pattern, name))}
    if sorted(found) != list(range(len(found))):
        raise RefusedError(f"the checkpoint lacks a tensor: of {pattern} there are {sorted(found)}; {OTHERS}")
    return [found[number] for number in range(len(found))]


def _wider(tensors: Mapping[str, Tensor]) -> str:
    """The modality that the dimension transformation brings to the other's width."""
    widths = {}
    for called in ("cv", "bert"):
        first = tensors.get(f"mm_encoder.{called}_adapter_list.0.fc_down.weight")
        widths[CALLED[called]] = first.shape[-1] if first is not None and first.ndim == 2 else 0
    return max(MODALITIES, key=lambda name: widths[name])


def _blocks(tensors: Mapping[str, Tensor], name: str) -> int:
    pattern = re.compile(rf"items\.towers\.{name}\.block\.(\d+)\.down\.weight")
    return len({found[1] for key in tensors if (found := pattern.fullmatch(key))})


def _number_of_inter(name: str) -> int:
    """The inter block that a tensor belongs to; −1 where to none."""
    found = re.match(r"items\.towers\.inter\.(?:block|dtl\.\w+)\.(\d+)\.", name)
    return int(found[1]) if found else -1


def _check_layers(found: Released, widths: Mapping[str, list[int]], *, where: object) -> None:
    for name, (count, width) in found.blocks().items():
        if len(widths[name]) != count or set(widths[name]) != {width}:
            raise RefusedError(
                f"{where} reads {count} layers of width {width} of the modality {name}, and the cache gives "
                f"{len(widths[name])} of {sorted(set(widths[name]))}; choose the layers that it was trained on with "
                f"--set model.layers.{name}=0,2,4, or another cache"
            )


def _load(model: RecommenderModel, found: Released, *, where: object) -> None:
    """Put the tensors in; raises `RefusedError` naming those that are missing, left over or of another shape."""
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    there = {name: tuple(tensor.shape) for name, tensor in found.tensors.items()}
    faults = [f"{name} is missing" for name in wanted if name not in there]
    faults += [f"{found.sources[name]} has no place" for name in there if name not in wanted]
    faults += [
        f"{found.sources[name]} is {list(there[name])}, not {list(wanted[name])}"
        for name in wanted
        if name in there and there[name] != wanted[name]
    ]
    faults += [
        f"{found.sources[name]} is not finite" for name, t in found.tensors.items() if not bool(t.isfinite().all())
    ]
    if faults:
        raise RefusedError(f"{where} does not fit: {_some(faults, '; ')}; {OTHERS}")
    model.load_state_dict(found.tensors)


def _some(names: list[str], between: str = ", ") -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return between.join(names[:SHOWN]) + more
