"""What an extraction and a training will cost, before anything is downloaded."""

from iisan_core.planning.encoder_plan import EncoderPlan
from iisan_core.planning.plan import Plan, plan

__all__ = ["EncoderPlan", "Plan", "plan"]
