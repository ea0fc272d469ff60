"""`iisan backbones` lists the registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from iisan_core.backbones.registry import backbone_catalogue


def test_the_list_holds_every_entry(shell: Callable[..., Any]) -> None:
    facts = json.loads(shell("backbones", "--json").out)
    assert [fact["name"] for fact in facts] == [entry.name for entry in backbone_catalogue()]
    bert = next(fact for fact in facts if fact["name"] == "bert-base")
    assert bert["towers"]["text"]["widths"] == [768] * 13
    assert bert["gated"] is False
    table = shell("backbones").out
    assert "google-bert/bert-base-uncased" in table
    assert "96–768" in table


def test_the_list_can_be_narrowed(shell: Callable[..., Any]) -> None:
    images = json.loads(shell("backbones", "--modality", "image", "--json").out)
    assert all("image" in fact["towers"] for fact in images)
    assert {"dinov2-base", "clip-base"} <= {fact["name"] for fact in images}
    families = json.loads(shell("backbones", "--family", "dinov2", "--json").out)
    assert {fact["family"] for fact in families} == {"DINOv2"}


def test_what_there_is_not_is_refused(shell: Callable[..., Any]) -> None:
    outcome = shell("backbones", "--modality", "smell")
    assert outcome.code == 2
    assert "no backbone encodes 'smell'; there are text, image" in outcome.err
    assert "there are BERT," in shell("backbones", "--family", "x").err
