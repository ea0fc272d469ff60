"""What can be done with runs and datasets: labels, another name, a copy, out of the way, into the trash and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

import streamlit as st

from app.formats import count, plain, since, size
from app.keeping import dependents
from app.keeping.labels import label, labels_of
from app.keeping.naming import copy_dataset, refuse_at_work, refuse_busy, rename_dataset, rename_run
from app.keeping.trash import Trashed, destroy, discard, restore, trashed
from app.names import free_name
from app.ui.layout import empty_state, leave_for, show_fault
from app.ui.readers import RunFacts
from iisan_core.errors import IisanError
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.workspace import Workspace

Kind: TypeAlias = Literal["run", "dataset"]
MOST_NAMED = 8
UNDO = "just thrown away"
"""Key: the folders in the trash of what has just gone there."""


def draw_labels(folder: Path) -> None:
    """Tags and note of a folder, where it has any."""
    found = labels_of(folder)
    if found.tags or found.archived:
        with st.container(horizontal=True, gap="xsmall"):
            for tag in found.tags:
                st.badge(plain(tag), color="gray", icon=":material/label:")
            if found.archived:
                st.badge("archived", color="orange", icon=":material/archive:")
    if found.note:
        st.caption(f":material/sticky_note_2: {plain(found.note)}")


def menu_of(workspace: Workspace, folder: Path, kind: Kind) -> None:
    """The button that opens all that can be done with a run or a dataset."""
    archived = labels_of(folder).archived
    acts: dict[str, Callable[[], None]] = {
        ":material/label: Tags and note …": lambda: edit_labels([folder], kind),
        ":material/edit: Rename …": lambda: _rename(workspace, folder, kind),
        ":material/content_copy: Duplicate …": lambda: _duplicate(workspace, folder, kind),
        f":material/archive: {'Take out of the archive' if archived else 'Archive'}": lambda: archive([folder]),
        ":material/delete: Delete …": lambda: throw_away(workspace, [folder], kind),
    }
    chosen = st.menu_button("More", list(acts), icon=":material/more_vert:", key=f"menu of {kind} {folder.name}")
    if chosen is not None:
        acts[chosen]()


def buttons_of(workspace: Workspace, folders: Sequence[Path], kind: Kind, *, archived: bool) -> None:
    """What can be done with the rows that are chosen in a table; `archived`: whether all of them are."""
    if st.button("Tags …", icon=":material/label:"):
        edit_labels(folders, kind)
    if st.button("Take out of the archive" if archived else "Archive", icon=":material/archive:"):
        archive(folders)
    if st.button("Delete …", icon=":material/delete:"):
        throw_away(workspace, folders, kind)


@st.dialog("Tags and note", width="medium")
def edit_labels(folders: Sequence[Path], kind: Kind) -> None:
    """Change tags and note of one folder, or add tags to several."""
    known = sorted({tag for path in folders[0].parent.iterdir() for tag in labels_of(path).tags})
    before = labels_of(folders[0])
    alone = len(folders) == 1
    st.markdown(plain(folders[0].name) if alone else count(len(folders), kind))
    tags = st.multiselect(
        "Tags" if alone else "Tags to add",
        known,
        default=list(before.tags) if alone else [],
        accept_new_options=True,
        placeholder="choose, or type a new one",
    )
    note = st.text_area("Note", before.note, height=120) if alone else None
    if st.button("Save", type="primary"):
        try:
            for folder in folders:
                label(folder, tags=tuple(tags if alone else [*labels_of(folder).tags, *tags]), note=note)
        except (IisanError, OSError) as error:
            _say(error)
            return
        st.rerun(scope="app")


def archive(folders: Sequence[Path]) -> None:
    """Put folders out of the way, or take them back if they all are."""
    away = not all(labels_of(folder).archived for folder in folders)
    for folder in folders:
        label(folder, archived=away)
    st.rerun(scope="app")


@st.dialog("Rename")
def _rename(workspace: Workspace, folder: Path, kind: Kind) -> None:
    name = st.text_input("New name", folder.name)
    readers = _readers(workspace, folder, kind)
    if readers:
        st.caption(f"{_said(readers)} will go on under the new name.")
    if st.button("Rename", type="primary", disabled=name.strip() in ("", folder.name)):
        try:
            if kind == "run":
                after = rename_run(workspace, RunFolder(folder), name).path
            else:
                after = rename_dataset(workspace, folder, name)
        except (IisanError, OSError) as error:
            _say(error)
            return
        _show(after, kind)


@st.dialog("Duplicate")
def _duplicate(workspace: Workspace, folder: Path, kind: Kind) -> None:
    if kind == "run":
        st.markdown("The form opens with the settings of this run; change some of them, and train.")
        if st.button("Open the form", type="primary"):
            leave_for("train", like=folder.name)
        return
    name = st.text_input("Name of the copy", free_name(workspace.datasets, folder.name))
    st.caption("A copy of all its files, pictures included. Caches and runs stay with the first one.")
    if st.button("Duplicate", type="primary"):
        try:
            with st.spinner("Copying …"):
                after = copy_dataset(workspace, folder, name)
        except (IisanError, OSError) as error:
            _say(error)
            return
        _show(after, kind)


def _say(error: IisanError | OSError) -> None:
    """Why something was refused, in a sentence."""
    if isinstance(error, IisanError):
        show_fault(error)
    else:
        st.error(f"{plain(error.strerror or str(error))}: {plain(str(error.filename or ''))}", icon=":material/error:")


def _show(place: Path, kind: Kind) -> None:
    """The page of what has a new name."""
    if kind == "run":
        leave_for("runs", run=place.name)
    else:
        leave_for("data", dataset=place.name)


@st.dialog("Move to the trash?", width="medium")
def throw_away(workspace: Workspace, folders: Sequence[Path], kind: Kind) -> None:
    """Ask, with what depends on it named, and move to the trash."""
    st.markdown(f"**{_listed([folder.name for folder in folders])}**")
    readers = {folder: _readers(workspace, folder, kind) for folder in folders}
    every = [reader for found in readers.values() for reader in found]
    runs = [reader for reader in every if reader.kind == "run"]
    caches = [reader for reader in every if reader.kind == "cache"]
    with_caches = False
    if runs:
        names = _listed([reader.name for reader in runs])
        what = "cannot be trained further or recommend" if kind == "dataset" else "keep what they have learned"
        st.warning(f"{count(len(runs), 'run')} depend on it and {what}: {names}", icon=":material/link:")
    if caches:
        st.warning(f"Its hidden states: {_listed([c.name for c in caches])}", icon=":material/inventory_2:")
        with_caches = st.checkbox("Move its caches to the trash, too", value=True)
    st.caption("It can be put back from the trash, on the page Runs, until that is emptied.")
    if st.button("Move to the trash", type="primary", icon=":material/delete:", key="really throw away"):
        try:
            thrown = [_discard(workspace, f, kind, found, with_caches=with_caches) for f, found in readers.items()]
        except (IisanError, OSError) as error:
            _say(error)
            return
        st.session_state[UNDO] = [each.folder.name for each in thrown]
        _leave(kind)


def _leave(kind: Kind) -> None:
    """From what is gone to what is there."""
    if kind == "run":
        leave_for("runs")
    else:
        leave_for("data")


def _discard(
    workspace: Workspace, folder: Path, kind: Kind, readers: Sequence[dependents.Dependent], *, with_caches: bool
) -> Trashed:
    if kind == "run":
        refuse_at_work(RunFolder(folder))
        return discard(workspace, [folder], kind=kind)
    refuse_busy(workspace, folder, list(readers))
    caches = [reader.path for reader in readers if reader.kind == "cache"] if with_caches else []
    return discard(workspace, [folder, *caches], kind=kind)


def _readers(workspace: Workspace, folder: Path, kind: Kind) -> list[dependents.Dependent]:
    find = dependents.of_run if kind == "run" else dependents.of_dataset
    return find(workspace, folder)


def _said(readers: Sequence[dependents.Dependent]) -> str:
    runs, caches = (sum(reader.kind == kind for reader in readers) for kind in ("run", "cache"))
    return " and ".join(count(n, what) for n, what in ((caches, "cache"), (runs, "run")) if n)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return plain(", ".join(names[:MOST_NAMED]) + more)


def offer_undo(workspace: Workspace) -> None:
    """Right after something was thrown away: say so, with the button that puts it back."""
    names = st.session_state.get(UNDO, [])
    thrown = [each for each in trashed(workspace) if each.folder.name in names]
    if not thrown:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/delete: {_listed([each.card.name for each in thrown])} is in the trash.")
        if st.button("Undo", icon=":material/undo:", key="undo"):
            _put_back(workspace, thrown)
        if st.button("Dismiss", icon=":material/close:", key="no undo", type="tertiary"):
            del st.session_state[UNDO]
            st.rerun()


def _put_back(workspace: Workspace, thrown: Sequence[Trashed]) -> None:
    try:
        for each in thrown:
            restore(workspace, each)
    except (IisanError, OSError) as error:
        _say(error)
        return
    st.session_state.pop(UNDO, None)
    st.rerun()


def draw_trash(workspace: Workspace) -> None:
    """What was thrown away, each with a way back, and one way out for all."""
    found = trashed(workspace)
    if not found:
        empty_state(
            "The trash is empty",
            "Runs and datasets that are deleted lie here until it is emptied.",
            icon=":material/delete:",
        )
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        total = sum(each.disk_bytes for each in found)
        st.caption(f"{count(len(found), 'deletion')} · {size(total)} on the disk", width="content")
        with st.popover("Empty the trash", icon=":material/delete_forever:"):
            st.markdown("All of it is removed for good.")
            if st.button("Remove for good", type="primary", key="empty the trash"):
                for each in found:
                    with suppress(OSError):
                        destroy(each)
                st.rerun()
    for each in found:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.badge(each.card.kind, color="gray")
            st.markdown(f"**{plain(each.card.name)}**", width="content")
            others = len(each.card.places) - 1
            beside = f", with {count(others, 'cache')}" if others else ""
            st.caption(f"{since(each.card.at)} ago · {size(each.disk_bytes)}{beside}")
            if st.button("Put back", icon=":material/undo:", key=f"put back {each.folder.name}"):
                _put_back(workspace, [each])


def in_trash(workspace: Workspace, name: str, kind: Kind) -> bool:
    """Whether something of this name lies in the trash."""
    return any(each.card.name == name and each.card.kind == kind for each in trashed(workspace))


def has_dataset(workspace: Workspace, run: RunFacts) -> bool:
    """Whether the dataset that a run was trained on is there; if not, says where it may be."""
    if run.config is None or (run.config.dataset / "dataset.json").is_file():
        return True
    thrown = in_trash(workspace, run.dataset, "dataset")
    empty_state(
        f"The dataset {run.dataset} is not there",
        "Run "
        + run.name
        + " was trained on it. "
        + ("It lies in the trash; put it back." if thrown else "Bring it back under this name, or choose another run."),
        icon=":material/database:",
        page="runs" if thrown else "data",
        **({"view": "Trash"} if thrown else {}),
    )
    return False
