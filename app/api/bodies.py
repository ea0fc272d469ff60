"""What may be asked of the service and what it answers: every field with its limits, every body with an example."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

MOST_ASKED = 1024
"""Users or histories of one request."""
LONGEST_HISTORY = 1000
MOST_RECOMMENDED = 1000
MOST_CANDIDATES = 10_000
MOST_BROUGHT = 16
"""New items of one request."""

Id = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(max_length=2000)]
History = Annotated[list[Id], Field(min_length=1, max_length=LONGEST_HISTORY, description="Item ids, oldest first.")]
Count = Annotated[int, Field(ge=1, le=MOST_RECOMMENDED, strict=True, description="How many items.")]
RunName = Annotated[Id | None, Field(description="Which run answers, where two are served; unset: the first.")]


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [values]})


class RecommendBody(BaseModel):
    """Whom to recommend to: users of the log, or made-up histories; one or many."""

    model_config = _example(histories=[["P0003", "P0040"]], k=5)

    users: Annotated[list[Id], Field(min_length=1, max_length=MOST_ASKED)] | None = None
    histories: Annotated[list[History], Field(min_length=1, max_length=MOST_ASKED)] | None = None
    k: Count = 10
    seen: bool = Field(False, strict=True, description="Recommend items of the history, too.")
    candidates: Annotated[list[Id], Field(min_length=1, max_length=MOST_CANDIDATES)] | None = Field(
        None, description="Recommend among these items alone."
    )
    titles: bool = Field(False, strict=True, description="Give the titles, too.")
    run: RunName = None

    @model_validator(mode="after")
    def _one_of_both(self) -> RecommendBody:
        if (self.users is None) == (self.histories is None):
            raise ValueError("give either users or histories, exactly one of them")
        return self


class SimilarBody(BaseModel):
    """An item whose like is sought."""

    model_config = _example(item_id="P0003", k=5)

    item_id: Id
    k: Count = 10
    titles: bool = Field(False, strict=True, description="Give the titles, too.")
    run: RunName = None


class ExplainBody(BaseModel):
    """An item, and the user or history for whom its score is taken apart."""

    model_config = _example(item_id="P0003", history=["P0040", "P0041"])

    item_id: Id
    user: Id | None = None
    history: History | None = None
    run: RunName = None

    @model_validator(mode="after")
    def _one_of_both(self) -> ExplainBody:
        if (self.user is None) == (self.history is None):
            raise ValueError("give either a user or a history, exactly one of them")
        return self


class NewItem(BaseModel):
    """An item that the run has not seen: at least one of title, texts, picture or vectors."""

    model_config = ConfigDict(extra="forbid")

    item_id: Id
    title: Text | None = None
    texts: dict[Id, Text] = Field(
        default_factory=dict, max_length=16, description="Further text columns of the catalogue."
    )
    image: str | None = Field(None, description="A picture file in base64: PNG, JPEG, WEBP, GIF, BMP, TIFF or AVIF.")
    vectors: dict[Id, Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(max_length=100_000)]] = Field(
        default_factory=dict, max_length=8, description="Modality → states, for those that came to the run as vectors."
    )


class ItemsBody(BaseModel):
    """New items: what is like them, and whether they are to be recommended from now on."""

    model_config = _example(items=[{"item_id": "N1", "title": "Round oak mug"}], k=5)

    items: list[NewItem] = Field(min_length=1, max_length=MOST_BROUGHT)
    keep: bool = Field(False, strict=True, description="Keep them until the service ends, also over a reload.")
    k: Count = 10
    titles: bool = Field(False, strict=True, description="Give the titles of similar items, too.")
    run: RunName = None


class ReloadBody(BaseModel):
    """Nothing need be said."""

    model_config = ConfigDict(extra="forbid")


class Scored(BaseModel):
    """A recommended item."""

    item_id: str
    score: float
    title: str | None = Field(None, description="Only where titles were asked for.")


class Answer(BaseModel):
    """What follows from one history."""

    user: str | None = Field(description="The user who was asked for; null for a made-up history.")
    items: list[Scored] = Field(description="Best first; fewer than k where fewer are left.")
    passed_over: int = Field(description="Items of the history that the run does not know.")


class Recommendations(BaseModel):
    """One answer for each user or history, in their order."""

    run: str
    answers: list[Answer]


class Alike(BaseModel):
    """An item and the cosine of its vector with another's."""

    item_id: str
    cosine: float
    title: str | None = Field(None, description="Only where titles were asked for.")


class SimilarItems(BaseModel):
    """The items most like one."""

    run: str
    item_id: str
    items: list[Alike]


class PartOfScore(BaseModel):
    """What a part of the item's vector adds; only what is above the catalogue's mean ranks."""

    name: str
    score: float
    above_mean: float


class Influence(BaseModel):
    """How far the score falls without an item of the history."""

    item_id: str
    score: float


class Reasons(BaseModel):
    """A score taken apart: the parts sum to it."""

    run: str
    item_id: str
    score: float
    parts: list[PartOfScore]
    influences: list[Influence] = Field(description="Oldest first.")


class BroughtItem(BaseModel):
    """A new item and what is like it."""

    item_id: str
    similar: list[Alike]


class BroughtItems(BaseModel):
    """New items, in their order."""

    run: str
    kept: bool
    items: list[BroughtItem]


class KnownItem(BaseModel):
    """An item of a history."""

    item_id: str
    title: str | None
    ranked: bool = Field(description="Whether the run knows it.")


class KnownUser(BaseModel):
    """What is known of a user."""

    run: str
    user_id: str
    interactions: int
    history: list[KnownItem] = Field(description="The newest ones asked for, oldest first.")


class ServedRun(BaseModel):
    """A run that answers."""

    name: str
    items: int
    kept_items: int
    modalities: list[str]


class Health(BaseModel):
    """That the service answers."""

    status: str


class Reloaded(BaseModel):
    """The runs as they are now, and how long their loading took."""

    runs: list[ServedRun]
    seconds: float


class Failure(BaseModel):
    """Why there is no answer, in a sentence."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"error": "no item 'P9' in demo; check its spelling"}]})

    error: str
