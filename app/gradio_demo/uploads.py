"""A new item from a visitor: looked at with suspicion, answered with a sentence where it cannot be taken."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from PIL import Image

from app.gradio_demo.answers import AUDIENCE, Run
from iisan_core.errors import RefusedError
from iisan_core.serving.recommender import Recommender
from iisan_core.serving.retrieval import Similar, Suited

MOST_BYTES = 5 * 2**20
MOST_PIXELS = 16_000_000
LONGEST_TITLE = 300
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
NEW = "your new item"


def opened(path: str) -> Image.Image:
    """A visitor's picture, decoded; raises `RefusedError` if it is too large, or none."""
    size = Path(path).stat().st_size
    if size > MOST_BYTES:
        raise RefusedError(
            f"the picture has {size / 2**20:.1f} MB; {MOST_BYTES // 2**20} MB are the most, save it smaller"
        )
    try:
        with Image.open(path, formats=FORMATS) as picture:
            pixels = picture.width * picture.height
            if pixels > MOST_PIXELS:
                raise RefusedError(
                    f"the picture has {picture.width:,} × {picture.height:,} pixels; {MOST_PIXELS // 10**6} million "
                    "are the most, make it smaller"
                )
            picture.load()
            return picture.copy()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise RefusedError(
            f"the file cannot be read as a picture; {', '.join(FORMATS[:-1])} and {FORMATS[-1]} can"
        ) from None


def checked_title(title: str) -> str:
    """The title without space around it; raises `RefusedError` if it is too long."""
    title = title.strip()
    if len(title) > LONGEST_TITLE:
        raise RefusedError(f"the title has {len(title):,} characters; {LONGEST_TITLE} are the most, shorten it")
    return title


def with_new_item(run: Run, picture: Image.Image | None, title: str) -> Recommender:
    """A recommender that has the visitor's item under the id `NEW`, too.

    Raises `RefusedError` where the run's model cannot take it.
    """
    item = pl.DataFrame({"item_id": [NEW], "title": [title or None]}, schema={"item_id": pl.String, "title": pl.String})
    images = {NEW: picture} if picture is not None and "image" in run.recommender.modalities else {}
    try:
        return run.recommender.add_items(item, images=images)
    except RefusedError as error:
        beyond = [name for name in run.recommender.modalities if name not in ("image", "text")]
        if not beyond:
            raise
        raise RefusedError(
            f"{error}; {' and '.join(beyond)} cannot be brought here, but from Python, to `Recommender.add_items`"
        ) from None


def answers_for(larger: Recommender, run: Run) -> tuple[list[Similar], list[Suited]]:
    """What is like the new item, and whom among some users it suits."""
    similar = larger.similar_items(NEW, k=min(8, len(run.catalogue)))
    users = run.catalogue.users(AUDIENCE)
    return similar, larger.suited_users(NEW, k=min(6, len(users)), users=users)
