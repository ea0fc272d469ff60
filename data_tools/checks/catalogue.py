"""Checks of the items: their texts, their pictures, and whether anybody wants them."""

from __future__ import annotations

from collections.abc import Callable

from data_tools.checks.finding import Finding
from data_tools.images import MAX_BYTES, UnreadableImageError, extension_of
from data_tools.languages import other_languages
from data_tools.text import has_entities
from iisan_core.data.dataset import FILE_COLUMNS, Dataset


def idle_items(dataset: Dataset) -> list[Finding]:
    """Items without an interaction."""
    idle = dataset.items.join(dataset.interactions, on="item_id", how="anti").height
    remedy = "they are ranked like all others, from their text and picture alone; remove them if not on offer"
    return [Finding("note", "items that nobody interacted with", idle, remedy)]


def bare_items(dataset: Dataset) -> list[Finding]:
    """Items that lack text, picture or both; where no item has one of the two, that is no lack."""
    silent = [text is None for text in dataset.texts(tuple(dataset.text_columns))]
    unseen = [path is None for path in dataset.image_paths()]
    both = sum(s and u for s, u in zip(silent, unseen, strict=True))
    remedy = "such items get the learned vector for missing content only; give them a title or a picture"
    findings = [Finding("warning", "items with neither text nor picture", both, remedy)]
    stand_in = "a learned vector stands in for what is missing"
    for lacking, what, other in ((silent, "text", unseen), (unseen, "picture", silent)):
        alone = sum(a and not b for a, b in zip(lacking, other, strict=True))
        if not all(lacking):
            findings.append(Finding("note", f"items without {what}", alone, _advice(what) + stand_in))
    return findings


def _advice(what: str) -> str:
    caption = "`iisan data caption` writes texts from pictures; "
    fetch = "`iisan data images` fetches pictures from web addresses; "
    return caption if what == "text" else fetch


def pictures(dataset: Dataset) -> list[Finding]:
    """Picture files that are absent or broken."""
    paths = [path for path in dataset.image_paths() if path is not None]
    present = [path for path in paths if path.is_file()]
    unreadable = 0
    for path in present:
        try:
            if path.stat().st_size > MAX_BYTES:
                raise UnreadableImageError("too large")
            extension_of(path.read_bytes())
        except UnreadableImageError:
            unreadable += 1
    remedy = "import the data again, or set `image` to null for these items"
    return [
        Finding("error", "picture files that are not there", len(paths) - len(present), remedy),
        Finding("error", "picture files that cannot be read", unreadable, remedy),
    ]


def videos_and_sounds(dataset: Dataset) -> list[Finding]:
    """Videos and sounds that the catalogue names and that are absent."""
    findings = []
    for column in FILE_COLUMNS:
        if column != "image" and column in dataset.items.columns:
            absent = sum(path is not None and not path.exists() for path in dataset.file_paths(column))
            remedy = f"put them there, or set `{column}` to null for these items"
            findings.append(Finding("error", f"{column} files that are not there", absent, remedy))
    return findings


def duplicate_titles(dataset: Dataset) -> list[Finding]:
    """Items that a text encoder cannot tell apart."""
    titles = dataset.items["title"].drop_nulls()
    remedy = "a text encoder cannot tell such items apart; add another text column or check for double entries"
    return [Finding("note", "items that share their title with another", int(titles.is_duplicated().sum()), remedy)]


def entities(dataset: Dataset) -> list[Finding]:
    """HTML entities in any text: importers decode them, other programs may not have."""
    texts = dataset.texts(tuple(dataset.text_columns))
    count = sum(text is not None and has_entities(text) for text in texts)
    remedy = "an encoder reads `&amp;` as a word; import the data again, which decodes them"
    return [Finding("warning", "items with HTML entities in their text", count, remedy)]


def languages(dataset: Dataset) -> list[Finding]:
    """Languages beside the catalogue's main one, as far as a sample of the texts shows."""
    main, others, sampled = other_languages(dataset.texts(tuple(dataset.text_columns)))
    remedy = f"most are in {main!r}; choose a text encoder that knows all of them"
    return [
        Finding("note", f"texts in {language!r} among {sampled:,} sampled texts", count, remedy)
        for language, count in others.items()
    ]


CATALOGUE_CHECKS: tuple[Callable[[Dataset], list[Finding]], ...] = (
    idle_items,
    bare_items,
    pictures,
    videos_and_sounds,
    duplicate_titles,
    entities,
    languages,
)
