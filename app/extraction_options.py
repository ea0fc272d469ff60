"""The settings of a cache as options of `iisan extract` and `iisan plan`: for the shell, and for forms that call it."""

from __future__ import annotations

from collections.abc import Collection

from iisan_core.cache.manifest import CacheSettings

FIELDS = tuple(CacheSettings.model_fields)
PLANNED = tuple(name for name in FIELDS if name not in ("modality", "prompt"))
"""What a plan is told, too: neither a name nor a prompt costs much."""
NAMES = {"modality": "as", "text_fields": "text-field"}


def option_of(field: str) -> str:
    """The option that sets a field of `CacheSettings`."""
    return "--" + NAMES.get(field, field.replace("_", "-"))


def arguments_of(settings: CacheSettings, *, fields: Collection[str] = FIELDS) -> list[str]:
    """The options that say `settings`, of these fields, as a command line has them; defaults go without saying."""
    arguments = []
    for field, value in settings.model_dump(exclude_defaults=True, include=set(fields)).items():
        if field == "layers" and not isinstance(value, str):
            value = ",".join(map(str, value))
        for one in value if isinstance(value, tuple) else [value]:
            arguments += [option_of(field), str(one)]
    return arguments
