"""`iisan backbones`: what can be called by name, and what of it lies here."""

from __future__ import annotations

from typing import Annotated

import typer

from app.commands.console import JsonFlag, note, print_json, print_table
from iisan_core import backbones as registry
from iisan_core.errors import RefusedError


def backbones(
    modality: Annotated[str | None, typer.Option(help="Only those that encode it: `text`, `image` or `joint`.")] = None,
    family: Annotated[str | None, typer.Option(help="Only this family, such as `DINOv2`.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the backbones that have a name here; any other hub id or folder in the transformers format works as well.

    Example: iisan backbones --modality image
    """
    entries = chosen(modality, family)
    if as_json:
        print_json([facts(entry) for entry in entries])
        return
    columns = ("name", "family", "encodes", "layers", "width", "M parameters", "pooling", "gated", "here", "hub id")
    print_table(columns, [row(entry) for entry in entries])
    note("`here`: the weights lie on this machine; others are downloaded at their first use")


def chosen(modality: str | None, family: str | None) -> list[registry.BackboneEntry]:
    """The entries of a modality and family; refuses one that there is not, naming those that there are."""
    every = registry.backbone_catalogue()
    modalities = list(dict.fromkeys(m for entry in every for m in entry.towers))
    families = {entry.family.lower(): entry.family for entry in every}
    if modality is not None and modality not in modalities:
        raise RefusedError(f"no backbone encodes {modality!r}; there are {', '.join(modalities)}")
    if family is not None and family.lower() not in families:
        raise RefusedError(f"no family {family!r}; there are {', '.join(families.values())}")
    return [
        entry
        for entry in every
        if (modality is None or modality in entry.towers) and (family is None or entry.family.lower() == family.lower())
    ]


def row(entry: registry.BackboneEntry) -> list[object]:
    """An entry as it stands in the table; towers apart by a slash."""
    towers = entry.towers.values()
    return [
        entry.name,
        entry.family,
        " / ".join(entry.towers),
        " / ".join(str(tower.layers) for tower in towers),
        " / ".join(_widths(tower.widths) for tower in towers),
        round(entry.parameters / 1e6),
        " / ".join(dict.fromkeys(tower.pooling for tower in towers)),
        "yes" if entry.gated else "",
        "yes" if registry.local_folder(entry.name) else "",
        entry.hub_id,
    ]


def facts(entry: registry.BackboneEntry) -> dict[str, object]:
    """An entry for `--json`; `local` is the folder of its weights on this machine, or null."""
    folder = registry.local_folder(entry.name)
    plain = entry.model_dump(mode="json", exclude={"config", "total_parameters", "package", "extra", "processor"})
    return plain | {"modality": entry.modality, "parameters": entry.parameters, "local": folder and str(folder)}


def _widths(widths: tuple[int, ...]) -> str:
    return str(widths[-1]) if len(set(widths)) == 1 else f"{widths[0]}–{widths[-1]}"
