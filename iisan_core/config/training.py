"""How a model is fitted: epochs, loss, rates, and what is done to gradients and weights."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from iisan_core.config.base import DeviceChoice, PrecisionChoice, Strict

TrackerName: TypeAlias = Literal["tensorboard", "trackio", "wandb", "mlflow"]
Loss: TypeAlias = Literal["in_batch", "sampled", "gbce", "full"]

TOWER_PARTS = ("san", "gate", "dtl", "head.inner", "head.outer", "stand_ins")
"""Parts of the model that each tower has for itself."""
SHARED_PARTS = ("fusion", "users", "ids")
"""Parts of the model that there are once."""


TRACKING = ("trackers", "track_files")
"""Settings that decide who is told of a run, and nothing of what it computes."""

VALIDATION_USERS = 20_000
"""Users whose ranks say well enough which epoch is the best: the standard error of HR@10 is below 0.3 points."""


MOST_EPOCHS = 100_000
"""What asks for more is a slip of the pen, and would run for years."""

MOST_AT_ONCE = 2**20
"""Sequences or items of one step; no machine holds more."""

HIGHEST_RATE = 10.0
"""A step of Adam moves every weight by about the rate: beyond this none keeps any meaning."""

HIGHEST_DECAY = 1000.0


class TrainingConfig(Strict):
    """How the model is fitted."""

    epochs: int = Field(100, ge=1, le=MOST_EPOCHS, description="The most epochs to train.")
    patience: int = Field(
        10,
        ge=1,
        le=MOST_EPOCHS,
        description="Stop at so many epochs in a row without a better validation HR@10: 10 is at the tenth.",
    )
    batch_size: int = Field(64, ge=1, le=MOST_AT_ONCE, description="B: sequences in a batch, each of one user.")
    user_weight: Literal["interaction", "user"] = Field(
        "interaction", description="What counts alike in the loss: every interaction, or every user."
    )
    validation_users: Annotated[int, Field(ge=1)] | Literal["all"] | None = Field(
        None,
        description="Users who are ranked after every epoch: a number, drawn once at random; `all`; unset: all up to "
        f"{VALIDATION_USERS:,}, else so many. Final figures are of all users.",
    )
    learning_rate: float = Field(
        2e-4, gt=0, le=HIGHEST_RATE, description="For heads, fusion, user encoder and stand-ins."
    )
    san_learning_rate: float = Field(1e-4, gt=0, le=HIGHEST_RATE, description="For the side-adapted networks.")
    weight_decay: float = Field(
        0.0, ge=0, le=HIGHEST_DECAY, description="Decoupled weight decay (AdamW); 0 is plain Adam."
    )
    ids_weight_decay: float = Field(
        0.0,
        ge=0,
        le=HIGHEST_DECAY,
        description="The same for id vectors: it pulls at every step, also at items that no batch holds.",
    )
    learning_rates: dict[str, float] = Field(
        default_factory=dict,
        description="Part of the model → its own rate: san, gate, dtl, head.inner, head.outer, stand_ins (of one tower "
        "alone as in text.head.inner), fusion, users, ids; unset: by the two rates above.",
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant",
        description="How all rates go on after the warm-up: as they are, or down to 0 at the end of `epochs`, in a "
        "line or half a cosine.",
    )
    warmup_epochs: float = Field(
        0.0,
        ge=0,
        le=MOST_EPOCHS,
        description="Epochs over whose steps all rates rise in a line from 0 to what they are.",
    )
    clip_norm: float | None = Field(
        None, gt=0, description="The longest that the gradient of all weights may be, longer ones are cut; unset: any."
    )
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Validate and keep a running average of the weights, of which each step leaves this share (less at "
        "the start); unset: the weights themselves.",
    )
    micro_batch: int | None = Field(
        None,
        ge=1,
        le=MOST_AT_ONCE,
        description="Sequences computed at a time, to save memory: the loss is the whole batch's, and its gradients, "
        "the same, are computed piece by piece, each piece twice; unset: all at once.",
    )
    loss: Loss = Field(
        "in_batch",
        description="What the next item is told from: the batch's other items, `negatives` drawn ones (by a softmax, "
        "or one by one as gBCE does), or the full catalogue.",
    )
    negatives: int = Field(
        256,
        ge=1,
        le=MOST_AT_ONCE,
        description="Items that `sampled` and `gbce` draw in each step, for all of its users.",
    )
    sampling: Literal["uniform", "popular"] = Field(
        "uniform",
        description="Where `sampled` draws from: all items alike, or by their share of training interactions.",
    )
    correct_positive: bool = Field(
        True,
        description="Whether `in_batch` and `sampled` correct the next item itself for its popularity, too, or the "
        "others alone, among which it was not drawn (arXiv 2507.09331).",
    )
    gbce_calibration: float = Field(
        0.75,
        ge=0,
        le=1,
        description="t of `gbce`: from 0, plain cross-entropy, to 1, scores calibrated as if all items were negatives.",
    )
    precision: PrecisionChoice = Field(
        "auto",
        description="Arithmetic of the networks; weights, loss and ranking stay float32. `auto` takes bfloat16 where "
        "the device multiplies it faster and states are wide enough to gain by it; the run says which it was.",
    )
    device: DeviceChoice = Field("auto", description="`auto` takes a GPU where there is one.")
    states: Literal["auto", "device", "memory", "mapped"] = Field(
        "auto",
        description="Where cached states lie: whole on the device, whole in RAM, or read from the cache step by step; "
        "`auto` takes the first that has room. Results are the same.",
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="Threads that compute on a CPU; unset: one for small work, else as many as make steps quickest, "
        "tried at the start and again where steps slow down. Results differ by rounding alone.",
    )
    processes: int = Field(
        1,
        ge=1,
        description="Processes that train together, one per GPU where there are GPUs: `iisan train` starts them by "
        "torchrun. Each computes its share of every batch; results differ by rounding, and by what dropout draws.",
    )
    compile: bool = Field(
        False,
        description="Compile the item encoder at the start, for up to a minute: steps are quicker from then on. On a "
        "CPU it takes a C++ compiler.",
    )
    blend: Literal["auto", "off"] = Field(
        "auto",
        description="Whether the weights of `model.frozen` and `model.together` are chosen on validation when training "
        "has ended; `off`: the frozen path as it was learned, and nothing that is counted.",
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Seeds initial weights, order of users and dropout.")

    trackers: tuple[TrackerName, ...] = Field(
        (),
        description="Who is told of configuration, epochs and results: tensorboard, trackio, wandb, mlflow; each is an "
        "extra of this package. One that fails stops nothing.",
    )
    track_files: bool = Field(
        False, description="Whether trackers that keep files get the results and the best weights, too."
    )

    @field_validator("trackers")
    @classmethod
    def _trackers_differ(cls, trackers: tuple[TrackerName, ...]) -> tuple[TrackerName, ...]:
        return tuple(dict.fromkeys(trackers))

    @field_validator("learning_rates")
    @classmethod
    def _parts_are_known(cls, rates: dict[str, float]) -> dict[str, float]:
        for part, rate in rates.items():
            if tower_of(part) is None and part not in (*SHARED_PARTS, *TOWER_PARTS):
                known = ", ".join((*SHARED_PARTS, *TOWER_PARTS))
                raise ValueError(f"there is no part {part!r}; a rate may be given to {known}, or as in text.san")
            if not 0 < rate <= HIGHEST_RATE:
                raise ValueError(f"the rate of {part} is {rate}; rates are greater than 0 and {HIGHEST_RATE:g} at most")
        return rates

    @model_validator(mode="after")
    def _loss_has_its_options(self) -> TrainingConfig:
        if self.loss == "gbce" and self.sampling != "uniform":
            raise ValueError(
                f"loss is gbce, whose calibration holds for uniform draws, and sampling is {self.sampling}; set "
                "sampling to uniform, or loss to sampled"
            )
        if self.loss in ("gbce", "full") and not self.correct_positive:
            raise ValueError(
                f"loss is {self.loss}, which corrects nothing, and correct_positive is off; leave it on, or set loss "
                "to in_batch or sampled"
            )
        return self


def tower_of(part: str) -> str | None:
    """The tower whose part alone is meant, as text in `text.head.inner`; None where it is everyone's, or no part."""
    tower, dot, own = part.partition(".")
    return tower if dot and own in TOWER_PARTS else None
