"""The command for a GPU, asked of the CPU with small work: every question is still understood."""

import json

import pytest

from tests.benchmarks import on_gpu
from tests.benchmarks.on_gpu import QUESTIONS, figure, main


def test_without_a_gpu_it_says_so(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(on_gpu.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path / "out.json")])
    assert "torch sees no CUDA GPU here; --dry-run asks the CPU" in capsys.readouterr().err


def test_what_there_is_no_time_for_is_named(capsys, tmp_path):
    main(["--dry-run", "--minutes", "0", "--out", str(tmp_path / "out.json")])
    answers = json.loads((tmp_path / "out.json").read_text())["answers"]
    assert {answer["left_out"] for answer in answers} == {"no time was left"}
    assert capsys.readouterr().out.count("– (no time was left)") == len(QUESTIONS)


def test_a_question_is_answered(capsys, tmp_path):
    main(["--dry-run", "--only", "ranking", "--out", str(tmp_path / "out.json")])
    (answer,) = json.loads((tmp_path / "out.json").read_text())["answers"]
    assert answer["found"]["bench"] == "rank"
    assert figure(answer["found"], "median_s") in capsys.readouterr().out


@pytest.mark.slow
def test_all_questions_are_understood(tmp_path):
    main(["--dry-run", "--minutes", "30", "--out", str(tmp_path / "out.json")])
    answers = json.loads((tmp_path / "out.json").read_text())["answers"]
    assert [a.get("left_out") for a in answers] == [None] * len(QUESTIONS)
    assert all("see the file" not in figure(a["found"], a["figure"]) or a["figure"] == "methods" for a in answers)
