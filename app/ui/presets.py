"""Presets of one's own beside ours: looked at, saved from a run, imported from YAML and exported to it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
import yaml

from app.formats import capitalized, plain, sentence
from app.ui.layout import show_fault
from iisan_core.config.presets import Preset, load_preset, own_preset_file, own_presets, preset_names, save_preset
from iisan_core.config.schema import RunConfig, parse_yaml, validated
from iisan_core.errors import IisanError, RefusedError

MOST_BYTES = 200_000
FAULT, SAVED = "preset_fault", "saved preset"


def draw_presets() -> None:
    """A preset in full with its export; import and removal of one's own."""
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _draw_one()
    with right:
        _draw_import()


def as_yaml(preset: Preset) -> str:
    """A preset as its file has it."""
    return yaml.safe_dump(preset.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)


def _draw_one() -> None:
    names = preset_names()
    name = str(st.selectbox("Preset", names, key="looked at preset", format_func=_said))
    try:
        preset = load_preset(name)
    except IisanError as error:
        show_fault(error)
        _draw_removal(name)
        return
    st.markdown(sentence(preset.description))
    st.caption(sentence(preset.measured))
    text = as_yaml(preset)
    st.code(text, language="yaml", height=380)
    with st.container(horizontal=True):
        st.download_button(
            "Export as YAML", text, f"{name}.yaml", "text/yaml", icon=":material/download:", on_click="ignore"
        )
        _draw_removal(name)


def _said(name: str) -> str:
    return f"{name} (own)" if _is_own(name) else name


def _is_own(name: str) -> bool:
    return (own_presets() / f"{name}.yaml").is_file()


def _draw_removal(name: str) -> None:
    if _is_own(name) and st.button("Remove", icon=":material/delete:", key="remove preset"):
        own_preset_file(name).unlink(missing_ok=True)
        st.rerun()


def _draw_import() -> None:
    st.markdown("**Import a preset**")
    st.caption("A YAML file with `description`, `measured`, and any of `protocol`, `model` and `training`.")
    given = st.file_uploader("YAML file", ["yaml", "yml"], max_upload_size=1, key="preset file")
    stem = Path(given.name).stem.lower() if given else ""
    name = st.text_input("Name", stem, key=f"name of {stem}", placeholder="my-preset").strip()
    if st.button(
        "Import", type="primary", icon=":material/upload:", disabled=given is None or not name, key="import preset"
    ):
        assert given is not None, "the button is off without a file"
        try:
            _import(given.getvalue(), given.name, name)
        except IisanError as error:
            show_fault(error)
            return
        st.toast(f"Preset {plain(name)} is there.", icon=":material/check_circle:")
        st.rerun()


def _import(content: bytes, file: str, name: str) -> None:
    if len(content) > MOST_BYTES:
        raise RefusedError(f"{file} is larger than a preset can be ({MOST_BYTES:,} bytes); choose another file")
    try:
        values = parse_yaml(content.decode("utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise RefusedError(f"{file} is not valid YAML ({error})") from None
    refuse_taken(name)
    save_preset(name, validated(Preset, values, where=file))


def refuse_taken(name: str) -> None:
    """Raise `RefusedError` for a name that a preset has already, or cannot have."""
    if own_preset_file(name).exists():
        raise RefusedError(f"there is a preset {name} already; remove it first, or choose another name")


def offer_to_save(config: RunConfig, base: str) -> None:
    """A button that keeps the settings of a form under a name, to be offered like our presets."""
    with st.popover("Save as preset", icon=":material/bookmark_add:"):
        name = st.text_input(
            "Name of the preset", key=f"{base}:preset name", placeholder="my-preset", persist_state="session"
        ).strip()
        about = st.text_input(
            "What it is for", key=f"{base}:preset about", placeholder="one sentence", persist_state="session"
        ).strip()
        st.button(
            "Save",
            type="primary",
            key=f"{base}:save preset",
            disabled=not name,
            on_click=_save,
            args=(config, name, about),
        )
        if fault := st.session_state.pop(FAULT, ""):
            st.error(plain(capitalized(fault)), icon=":material/error:")
        if saved := st.session_state.pop(SAVED, ""):
            st.success(f"Preset {plain(saved)} is there.", icon=":material/check_circle:")


def _save(config: RunConfig, name: str, about: str) -> None:
    try:
        refuse_taken(name)
        preset = Preset(
            description=about or f"Settings for {config.dataset.name}.",
            measured="Nothing was measured with it yet.",
            protocol=config.protocol,
            model=config.model,
            training=config.training,
            baseline=config.baseline,
        )
        save_preset(name, preset)
    except (IisanError, OSError) as error:
        st.session_state[FAULT] = str(error)
        return
    st.session_state[SAVED] = name
