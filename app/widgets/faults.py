"""Errors on a page: one sentence and a remedy, never a traceback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

import streamlit as st

from app.widgets.text import plain, sentence
from iisan_core.errors import IisanError

LOG = "app.log"
LOG_BYTES = 1_000_000


@contextmanager
def guarded(root: Path) -> Iterator[None]:
    """Show what goes wrong within the block as a sentence; what nobody foresaw goes to the log in `root`, too."""
    try:
        yield
    except IisanError as error:
        show_fault(error)
    except Exception as error:
        place = _noted(root, error)
        what = plain(f"{type(error).__name__}: {error}"[:300])
        st.error(
            f"Something went wrong that nobody foresaw ({what}). Reload the page; if it comes again, report it with "
            f"the end of the log {place}.",
            icon=":material/bug_report:",
        )


def show_fault(error: IisanError) -> None:
    """The sentence of a refusal or a failure."""
    said = str(error)
    st.error(sentence(said[:1].upper() + said[1:]) + ".", icon=":material/error:")


def _noted(root: Path, error: Exception) -> str:
    try:
        logger = _log(root)
        logger.error("a page failed", exc_info=error)
    except OSError as refused:
        return plain(f"(which cannot be written: {refused.strerror})")
    return plain(str(root / LOG))


@st.cache_resource(max_entries=4, show_spinner=False)
def _log(root: Path) -> logging.Logger:
    root.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger(f"iisan.app.{root}")
    logger.propagate = False
    handler = RotatingFileHandler(root / LOG, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    return logger
