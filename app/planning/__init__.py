"""What an extraction and a training will cost, before anything is downloaded."""

from __future__ import annotations

from app.planning.encoder import EncoderPlan
from app.planning.plan import Plan, plan

__all__ = ["EncoderPlan", "Plan", "plan"]
