"""What somebody should know about a dataset before training on it: who has enough, in what order, what is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from data_tools.images import FolderImages, UnreadableImageError, extension_of
from data_tools.languages import other_languages
from data_tools.statistics import KEEP_LAST, DatasetStatistics, last_interactions, statistics
from data_tools.text import has_entities
from data_tools.times import runs_newest_first
from data_tools.writing import MIN_LENGTH, TIES_NEWEST_FIRST
from iisan_core.cache.digests import DIGESTS, changed_files
from iisan_core.data.dataset import FILE_COLUMNS, Dataset
from iisan_core.data.held_out import timestamps_are_positions

SEVERITIES = ("error", "warning", "note")

EXAMPLES = 3
"""Files that a finding names."""


@dataclass(frozen=True)
class Finding:
    """Something found in a dataset."""

    severity: Literal["error", "warning", "note"]
    """`error`: training will fail, or data is damaged; `warning`: results suffer or mislead; `note`: worth knowing."""
    what: str
    count: int
    """How many users, items, interactions or files it concerns."""
    remedy: str


def check(dataset: Dataset) -> list[Finding]:
    """Everything worth saying about `dataset`, errors first; an empty list means nothing was found."""
    facts = statistics(dataset)
    findings = [found for look in CHECKS for found in look(dataset, facts) if found.count]
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def check_files(dataset: Dataset) -> list[Finding]:
    """Files whose bytes are not those that were recorded, though size and times may be; reads every one of them."""
    changed, without = changed_files(dataset)
    named = ", ".join(changed[:EXAMPLES]) + (", …" if len(changed) > EXAMPLES else "")
    remedy = (
        f"bring them back as they were; if the change is meant, remove {DIGESTS} from the dataset folder and run "
        "`iisan extract` again"
    )
    findings = [
        Finding("error", f"files with other bytes than {DIGESTS} says: {named}", len(changed), remedy),
        Finding("note", f"files without an entry in {DIGESTS}", without, "`iisan extract` reads and records them"),
    ]
    return [finding for finding in findings if finding.count]


def short_users(dataset: Dataset, facts: DatasetStatistics) -> list[Finding]:
    """Users whom the protocol leaves out."""
    short = facts.users - facts.kept_users
    if not facts.kept_users:
        remedy = f"training needs users with at least {MIN_LENGTH} interactions; import more of the log"
        return [Finding("error", "no user is long enough for the protocol", short, remedy)]
    remedy = "the split leaves them out of training and evaluation; nothing needs to be done"
    return [Finding("note", f"users with fewer than {MIN_LENGTH} interactions", short, remedy)]


def outside_core(dataset: Dataset, facts: DatasetStatistics) -> list[Finding]:
    """Interactions that published figures on k-core data leave out."""
    remedy = (
        f"published figures often use the {MIN_LENGTH}-core only; `iisan data filter --core {MIN_LENGTH}` makes it, "
        "but it leaves out the rare items on which content helps most"
    )
    what = f"interactions outside the {MIN_LENGTH}-core"
    return [Finding("note", what, facts.interactions - facts.core_interactions, remedy)]


def unordered(dataset: Dataset, facts: DatasetStatistics) -> list[Finding]:
    """Interactions before which the same user's time runs backwards; importers sort, other programs may not."""
    same_user = pl.col("user_id") == pl.col("user_id").shift(1)
    backwards = dataset.interactions.filter(same_user & (pl.col("timestamp") < pl.col("timestamp").shift(1))).height
    remedy = "the last one of every user is the test target, so order matters; import the data again, which sorts"
    newest_first = " (the log is stored newest first)" if runs_newest_first(dataset.interactions) else ""
    return [Finding("error", f"interactions older than the one before them{newest_first}", backwards, remedy)]


def maybe_newest_first(dataset: Dataset, facts: DatasetStatistics) -> list[Finding]:
    """Interactions whose order is that of a file which may have run newest first: their times do not tell."""
    ties = dataset.card.reported.get(TIES_NEWEST_FIRST, 0)
    what = "interactions at the same time as another of the same user, from a file that ran newest first"
    remedy = (
        "their order is the file's, so the last of them, a test target, may be the oldest; sort the file oldest first, "
        "or bring finer times, and import again"
    )
    users = dataset.interactions.group_by("user_id").agg(n=pl.len(), times=pl.col("timestamp").n_unique())
    timeless = users.filter((pl.col("n") >= MIN_LENGTH) & (pl.col("times") == 1)).height
    unknown = (
        "their order is the file's, taken as oldest first; where the file ran newest first, their oldest interaction "
        "became the test target: turn it round and import again"
    )
    return [
        Finding("warning", what, ties, remedy),
        Finding("warning", "users all of whose interactions have one time", timeless, unknown),
    ]


def ties(dataset: Dataset, facts: DatasetStatistics) -> list[Finding]:
    """Interactions whose order is that of the file only."""
    remedy = "their order is that of the source file; check that it is meant, since the last one is the test target"
    what = "interactions at the same time as another of the same user"
    return [Finding("warning", what, facts.tied_interactions, remedy)]


def duplicates(dataset: Dataset, facts: DatasetStatistics) -> list[Finding]:
    """The same user, item and time again."""
    remedy = "a log written twice teaches nothing twice; `iisan data filter --no-duplicates` keeps one of each"
    return [Finding("warning", "duplicate interactions", facts.duplicate_interactions, remedy)]


def repeats(dataset: Dataset, facts: DatasetStatistics) -> list[Finding]:
    """Test targets that masking makes impossible to hit."""
    remedy = (
        "the protocol gives items of the history no score, so these cannot be hit; `iisan evaluate --repeats` ranks "
        "them, `iisan data filter --no-repeats` removes them"
    )
    return [Finding("note", "test targets in the user's own history", facts.test_targets_in_history, remedy)]


def cold_targets(dataset: Dataset, facts: DatasetStatistics) -> list[Finding]:
    """Test targets that no training interaction shows."""
    remedy = (
        "only text and pictures can find them, a model of ids cannot; `iisan evaluate --by popularity` shows them apart"
    )
    return [Finding("note", "test targets that never occur in training", facts.cold_test_targets, remedy)]


def future_leakage(dataset: Dataset, facts: DatasetStatistics) -> list[Finding]:
    """Leave-one-out splits each user's own time, so training may hold what happened after a test target."""
    if timestamps_are_positions(dataset.interactions):
        what = "users of whom the order is known, but no times: leakage of leave-one-out cannot be measured"
        remedy = (
            "the file's order is taken as oldest first; bring timestamps to be sure of it, and to see for how many of "
            "them training holds what others did later"
        )
        return [Finding("note", what, facts.kept_users, remedy)]
    kept = last_interactions(dataset.interactions, min_interactions=MIN_LENGTH, keep_last=KEEP_LAST)
    newest = kept.filter(pl.col("from_end") > 1)["timestamp"].max()
    targets = kept.filter(pl.col("from_end") == 0)
    leaking = targets.filter(pl.col("timestamp") < pl.lit(newest, pl.Int64)).height
    share = f"{100 * leaking / max(targets.height, 1):.0f} % of "
    what = f"test targets, {share}all, older than the newest training interaction (leave-one-out looks into the future)"
    remedy = (
        "usual in this field and comparable with published results; for an estimate of production train with "
        "`--set protocol.split=time`"
    )
    return [Finding("warning", what, leaking, remedy)]


def idle_items(dataset: Dataset, facts: DatasetStatistics) -> list[Finding]:
    """Items without an interaction."""
    idle = facts.items - facts.items_with_interactions
    remedy = "they are ranked like all others, from their text and picture alone; remove them if not on offer"
    return [Finding("note", "items that nobody interacted with", idle, remedy)]


def bare_items(dataset: Dataset, facts: DatasetStatistics) -> list[Finding]:
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


def pictures(dataset: Dataset, facts: DatasetStatistics) -> list[Finding]:
    """Picture files that are absent or broken."""
    folder = FolderImages(dataset.folder)
    named = [name for name in dataset.items["image"] if name]
    present = [name for name in named if name in folder]
    unreadable = 0
    for name in present:
        try:
            extension_of(folder[name])
        except UnreadableImageError:
            unreadable += 1
    remedy = "import the data again, or set `image` to null for these items"
    return [
        Finding("error", "picture files that are not there", len(named) - len(present), remedy),
        Finding("error", "picture files that cannot be read", unreadable, remedy),
    ]


def videos_and_sounds(dataset: Dataset, facts: DatasetStatistics) -> list[Finding]:
    """Videos and sounds that the catalogue names and that are absent."""
    findings = []
    for column in FILE_COLUMNS:
        if column != "image" and column in dataset.items.columns:
            absent = sum(path is not None and not path.exists() for path in dataset.file_paths(column))
            remedy = f"put them there, or set `{column}` to null for these items"
            findings.append(Finding("error", f"{column} files that are not there", absent, remedy))
    return findings


def duplicate_titles(dataset: Dataset, facts: DatasetStatistics) -> list[Finding]:
    """Items that a text encoder cannot tell apart."""
    titles = dataset.items["title"].drop_nulls()
    remedy = "a text encoder cannot tell such items apart; add another text column or check for double entries"
    return [Finding("note", "items that share their title with another", int(titles.is_duplicated().sum()), remedy)]


def entities(dataset: Dataset, facts: DatasetStatistics) -> list[Finding]:
    """HTML entities in any text: importers decode them, other programs may not have."""
    texts = dataset.texts(tuple(dataset.text_columns))
    count = sum(text is not None and has_entities(text) for text in texts)
    remedy = "an encoder reads `&amp;` as a word; import the data again, which decodes them"
    return [Finding("warning", "items with HTML entities in their text", count, remedy)]


def languages(dataset: Dataset, facts: DatasetStatistics) -> list[Finding]:
    """Languages beside the catalogue's main one, as far as a sample of the texts shows."""
    main, others, sampled = other_languages(dataset.texts(tuple(dataset.text_columns)))
    remedy = f"most are in {main!r}; choose a text encoder that knows all of them"
    return [
        Finding("note", f"texts in {language!r} among {sampled:,} sampled texts", count, remedy)
        for language, count in others.items()
    ]


CHECKS: tuple[Callable[[Dataset, DatasetStatistics], list[Finding]], ...] = (
    short_users,
    outside_core,
    unordered,
    maybe_newest_first,
    ties,
    duplicates,
    repeats,
    cold_targets,
    future_leakage,
    idle_items,
    bare_items,
    pictures,
    videos_and_sounds,
    duplicate_titles,
    entities,
    languages,
)
