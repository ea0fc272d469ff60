"""`manifest.json`: what a hidden-state cache holds, and all that decides it.

manifest.json      this record
item_ids.parquet   one row per row of the array: item_id, present, problem, fingerprint of the input
states.bin         raw rows [items, ΣD], ΣD = the widths of the kept layers, one after the other
parts/00003.json   only while an extraction is unfinished: one record per finished shard
append/            only while rows are added to a complete cache: `manifest.json` as it will be, and `parts/`

Rows are only ever added. An item whose text or picture changed has a further row, and its last one counts; an item
that left the catalogue keeps its row. So the manifest alone says what there is: whatever stands behind its last row,
in the array or among the item ids, is of an append that goes on or was killed.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import ConfigDict, Field

from iisan_core.config.places import backbone_read, backbone_written, read, written
from iisan_core.config.schema import Modality, Precision, StoredDtype, Strict, validated
from iisan_core.errors import RefusedError
from iisan_core.files import checked, read_json, write_json

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
ITEM_IDS = "item_ids.parquet"
STATES = "states.bin"
SHARDS = "parts"
APPEND = "append"

VECTORS: Literal["vectors"] = "vectors"
"""The kind of states that came as numbers: nothing here says what they were made from."""

Kind: TypeAlias = Modality | Literal["vectors"]

WITH_TEXT = ("text", "joint")
"""Kinds of input that have a text, made of columns and cut to so many tokens."""

ITEM_BYTES: dict[str, int] = {"auto": 2, "float16": 2, "bfloat16": 2, "float32": 4}


class CacheSettings(Strict):
    """The part of a cache that the user chooses; what does not concern its kind of input is left out of account.

    Args: the fields below, all by name (method, sections 1, 2 and 6).

    Raises:
        pydantic.ValidationError: naming every fault, unknown names included.

    Example:
        >>> settings = CacheSettings(layers="group:7", text_fields=("title", "brand"))
        >>> settings.dtype, settings.input_size("text")
        ('auto', 30)
    """

    modality: str | None = Field(
        None, pattern=r"^[a-z][a-z0-9_]*$", description="What a run calls these states; unset: the kind of input."
    )
    layers: str | tuple[int, ...] = Field(
        "even", description="`all`, `even`, `group:7`, `paper:8b`, or numbers such as 0,6,-1."
    )
    pooling: Literal["cls", "mean", "mean-all", "last"] | None = Field(
        None,
        description="How tokens become one vector: `mean` of words or patches, `mean-all` with class and register "
        "tokens; unset: the backbone's own.",
    )
    dtype: Literal["auto", "float16", "bfloat16", "float32"] = Field(
        "auto", description="Number format of the stored states; `auto`: float16, or bfloat16 where states are large."
    )
    prompt: str | None = Field(
        None,
        description="Words, or the name of one of the model's own prompts, before every text; unset: the model's "
        "default; '': none. Of a joint model the instruction behind picture and text.",
    )
    text_fields: tuple[str, ...] = Field(("title",), description="Columns joined into an item's text.")
    max_tokens: int = Field(30, ge=1, le=10**6, description="Longer texts are cut (method, section 6).")
    image_size: int | None = Field(
        None, ge=1, le=8192, description="Side of the square picture in pixels; unset: the model's own."
    )
    frames: int = Field(
        8, ge=1, le=10_000, description="Frames sampled evenly from a video; their states are averaged."
    )
    max_seconds: int = Field(30, ge=1, le=86_400, description="Longer sounds are cut.")

    def input_size(self, kind: Kind) -> int | None:
        """Tokens of a text, pixels of a picture's side, frames of a video or seconds of a sound; None: the model's."""
        return _input_size(self, kind)


class Shard(Strict):
    """Consecutive rows that were written together."""

    start: int = Field(ge=0)
    stop: int = Field(ge=1)
    sha256: str
    """Of the rows' bytes in `states.bin`."""


class ShardRecord(Shard):
    """The journal entry of a finished shard, with the inputs that could not be read."""

    problems: dict[int, str] = Field(default_factory=dict)
    """Row → what is wrong."""


class CacheManifest(Strict):
    """`manifest.json`. Equal `key`s mean: the same dataset, backbone and settings."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    format_version: int = FORMAT_VERSION
    dataset: str
    dataset_folder: str | None = None
    """Where the dataset lay at the latest extraction, absolute; in the file relative to the workspace that holds both.
    Unset in files of earlier releases."""
    modality: str
    """What a run calls these states: `text`, `image`, or a name of the user's own such as `caption`."""
    kind: Kind = Field(default_factory=lambda given: given["modality"], validate_default=True)
    """What kind of input they were made from; unset in a file: its modality."""
    backbone: str
    revision: str
    compute_dtype: Precision
    pooling: str
    tokens: Literal["patches"] | None = None
    """Of which tokens `mean` is taken, where the model has others, too; unset: of all (as by earlier releases)."""
    reading: str | None = None
    """How the model was given its inputs, where it gives other states than alone if they come as usual."""
    prompt: str | None = None
    """What stood before every text; unset: nothing."""
    layers: tuple[int, ...]
    widths: tuple[int, ...]
    """One per kept layer."""
    dtype: StoredDtype
    text_fields: tuple[str, ...] | None
    max_tokens: int | None
    image_size: int | None
    frames: int | None = None
    max_seconds: int | None = None
    items: int = Field(ge=1)
    """Rows; more than the catalogue has items where texts or pictures changed or items left."""
    shard_size: int = Field(alias="part_size", ge=1)
    """Rows that are written together; in the file `part_size`, and `parts` are the shards, as ever."""
    ids_sha256: str
    """Of the rows' item ids in order."""
    inputs_sha256: str
    """Of the rows' fingerprints in order."""
    libraries: dict[str, str]
    """Versions at the latest extraction into this cache."""
    shards: tuple[Shard, ...] = Field((), alias="parts")
    complete: bool = False

    @property
    def input_called(self) -> str:
        """The word for one input."""
        names = {"text": "text", "image": "picture", "video": "video", "audio": "sound", VECTORS: "vector"}
        names["joint"] = "text or picture"
        return names[self.kind]

    @property
    def input_size(self) -> int | None:
        """Tokens of a text, pixels of a picture's side, frames of a video or seconds of a sound; None: the model's."""
        return _input_size(self, self.kind)

    @property
    def reduction(self) -> str:
        """The word of `Backbone.encode` for how tokens became one vector."""
        return "mean-all" if self.pooling == "mean" and not self.tokens else self.pooling

    @property
    def row_width(self) -> int:
        """ΣD: numbers in a row."""
        return sum(self.widths)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in `states.bin`."""
        return self.row_width * ITEM_BYTES[self.dtype]

    @property
    def key(self) -> str:
        """Short hash of all that decides the states, apart from the catalogue itself."""
        decisive = {
            "format_version",
            "dataset",
            "modality",
            "revision",
            "compute_dtype",
            "pooling",
            "layers",
            "dtype",
            "text_fields",
            "max_tokens",
            "image_size",
        }
        values = self.model_dump(mode="json", include=decisive)
        # What came later counts where it has a meaning, so that caches keep the names that they had.
        later: dict[str, object] = {"frames": self.frames, "max_seconds": self.max_seconds}
        later |= {"kind": self.kind if self.kind != self.modality else None}
        later |= {"tokens": self.tokens, "reading": self.reading, "prompt": self.prompt}
        values |= {name: value for name, value in later.items() if value is not None}
        plain = json.dumps(values, sort_keys=True)
        return hashlib.sha256(plain.encode()).hexdigest()[:12]

    @property
    def folder_name(self) -> str:
        """`<modality>-<backbone>-<key>`."""
        slug = re.sub(r"[^a-z0-9.]+", "-", Path(self.backbone).name.lower()).strip("-.") or "backbone"
        return f"{self.modality}-{slug}-{self.key}"


def _input_size(of: CacheSettings | CacheManifest, kind: Kind) -> int | None:
    sizes = {"image": of.image_size, "video": of.frames, "audio": of.max_seconds}
    return of.max_tokens if kind in WITH_TEXT else sizes.get(kind)


@dataclass(frozen=True)
class CacheFacts:
    """A cache folder, whatever its state; one that cannot be used says why and hides no other."""

    folder: Path
    manifest: CacheManifest | None
    """None where it is damaged."""
    disk_bytes: int
    problem: str = ""
    """What is wrong with a damaged one."""

    @property
    def state(self) -> Literal["complete", "unfinished", "damaged"]:
        """How it stands."""
        if self.manifest is None:
            return "damaged"
        return "complete" if self.manifest.complete else "unfinished"


def read_manifest(folder: Path) -> CacheManifest:
    """Read a cache's manifest, complete or not; raises `RefusedError` if absent, damaged or of another format."""
    path = folder / MANIFEST
    if not path.is_file():
        raise RefusedError(f"no hidden-state cache at {folder}: {MANIFEST} is missing; make one with `iisan extract`")
    value = read_json(path, what="cache manifest")
    version = value.get("format_version") if isinstance(value, dict) else None
    if version != FORMAT_VERSION:
        raise RefusedError(
            f"the cache {folder} has format version {version}, this program reads {FORMAT_VERSION}; "
            "run `iisan extract` again"
        )
    manifest = validated(CacheManifest, value, where=str(path))
    checked(path)
    changes = {"backbone": backbone_read(manifest.backbone, record=path)}
    if manifest.dataset_folder is not None:
        changes["dataset_folder"] = str(read(Path(manifest.dataset_folder), record=path))
    return manifest.model_copy(update=changes)


def write_manifest(manifest: CacheManifest, folder: Path) -> None:
    """Replace the manifest in `folder`; what lies in its workspace is named relative to that."""
    path = folder / MANIFEST
    values = manifest.model_dump(mode="json") | {"backbone": backbone_written(manifest.backbone, record=path)}
    if manifest.dataset_folder is not None:
        values["dataset_folder"] = written(Path(manifest.dataset_folder), record=path)
    write_json(path, values)
