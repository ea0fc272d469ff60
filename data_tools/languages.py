"""Which languages the texts of a catalogue are in."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

SAMPLE = 2000
SURE = 0.8
"""Probability from which a guess counts: of a title of three words nobody can tell the language."""
WORTH_NAMING = 0.01
"""Share of the sure texts from which a language is named; below, it is as likely a brand name."""
LANGUAGES = (
    "ar", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr", "he", "hi", "hr", "hu", "id",
    "it", "ja", "ko", "lt", "lv", "ms", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sr", "sv", "ta", "th", "tl",
    "tr", "uk", "ur", "vi", "zh",
)  # fmt: skip
"""ISO 639-1 codes that are told apart; rarer ones would be guessed for product names."""


def languages_of(texts: Sequence[str | None], *, sample: int = SAMPLE, seed: int = 0) -> tuple[Counter[str], int]:
    """Count the languages of up to `sample` texts that can be told, and say how many were looked at."""
    present = [text for text in texts if text is not None]
    chosen = random.Random(seed).sample(present, min(sample, len(present)))
    guesses = [_identifier().classify(text) for text in chosen]
    return Counter(language for language, probability in guesses if probability > SURE), len(chosen)


def other_languages(texts: Sequence[str | None]) -> tuple[str, dict[str, int], int]:
    """The main language, the counts of others worth naming, and the number of texts looked at."""
    counts, sampled = languages_of(texts)
    if not counts:
        return "", {}, sampled
    (main, _), *others = counts.most_common()
    return main, {name: n for name, n in others if n >= max(2, WORTH_NAMING * counts.total())}, sampled


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(LANGUAGES))
    return identifier
