"""Figures on a model card: those of the checkpoint that is shared, and no others."""

from pathlib import Path

import pytest
import yaml

from playing.simulator import digest
from sharing.card import CardFacts, model_card
from sharing.figures import find_figures
from utils.command import UserError
from utils.configuration import load_configuration
from utils.measurement import RESULTS_DIRECTORY
from utils.shipped import ROOT

CONFIG = load_configuration("00_breakout_play")
CHECKPOINT = digest(ROOT / "checkpoints/00_breakout_play/latest.pth.tar")
EVALUATION = RESULTS_DIRECTORY / "evaluation.00_breakout_play.yml"
PLAYABILITY = RESULTS_DIRECTORY / "playability.00_breakout_play.intel-r-xeon-r-processor-cpu.json"


def test_they_are_on_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    figures = find_figures(CONFIG, CHECKPOINT, None, EVALUATION)
    assert [measured.task for measured in figures] == ["playing", "reconstructing held-out videos"]
    card = model_card(CardFacts(CONFIG, "hub:me/breakout", None, 800_000, True, True, None, False, "mit", figures))
    assert "| PSNR, dB | 34.31 [33.39, 35.3] | higher |" in card
    assert "They were measured before the weights were rounded" in card
    assert "| actions | 3, unnamed |" in card
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == "mit"
    (model,) = front["model-index"]
    assert [result["dataset"]["name"] for result in model["results"]] == ["breakout_demo"] * 2
    metrics = {metric["type"]: metric["value"] for metric in model["results"][1]["metrics"]}
    assert metrics["psnr/avg"] == 44.6167391


def test_those_of_another_checkpoint_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_figures(CONFIG, "another", None, None) == []
    for named in ((PLAYABILITY, None), (None, EVALUATION)):
        with pytest.raises(UserError, match="has the figures of another checkpoint; measure this one, or leave"):
            find_figures(CONFIG, "another", *named)
    (tmp_path / "a.json").write_text('{"results": [3]}')
    with pytest.raises(UserError, match=r"a\.json: not the figures of play"):
        find_figures(CONFIG, CHECKPOINT, tmp_path / "a.json", None)
