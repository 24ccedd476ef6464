"""The workflow that publishes the documentation and the live demo asks for what there is."""

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import export
from playing.hints import read_hints
from utils.checkpoint import load_checkpoint
from utils.configuration import load_configuration

REPOSITORY = Path(__file__).parents[2]
WORKFLOW = yaml.safe_load((REPOSITORY / ".github/workflows/pages.yml").read_text())
BUILD, PUBLISH = WORKFLOW["jobs"]["build"], WORKFLOW["jobs"]["publish"]
COMMANDS = [step["run"] for step in BUILD["steps"] if "run" in step]


def action(job: dict[str, Any], name: str) -> dict[str, Any]:
    """The step of a job that uses an action, whichever version."""
    (step,) = (step for step in job["steps"] if step.get("uses", "").startswith(f"{name}@"))
    return step


def test_exports_the_trained_model_that_comes_with_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    installation, documentation, command = COMMANDS
    assert installation == "pip install -r requirements.lock"
    assert documentation == "python -m mkdocs build --strict"
    monkeypatch.setattr(sys, "argv", shlex.split(command)[1:])
    assert sys.argv[0] == "export.py"
    arguments = export.parse_arguments()
    (name,) = arguments.config
    config = load_configuration(REPOSITORY / name, arguments.overrides)
    path = REPOSITORY / "checkpoints" / config.logging.run_name / "latest.pth.tar"
    hints = read_hints(load_checkpoint(path), path, config.data.actions_count)
    assert arguments.action_names is None
    assert hints.action_names == ("left", "stay", "right")
    assert hints.real_time_fps == 15
    site = action(BUILD, "actions/upload-pages-artifact")["with"]["path"]
    assert site == yaml.load((REPOSITORY / "mkdocs.yml").read_text(), yaml.BaseLoader)["site_dir"]
    assert str(arguments.output_directory) == f"{site}/demo"


def test_has_the_programs_that_an_export_needs() -> None:
    python = action(BUILD, "actions/setup-python")["with"]["python-version"]
    assert python in ("3.11", "3.12", "3.13")
    assert action(BUILD, "actions/setup-node")  # npm, which fetches the runtime


def test_may_do_no_more_than_it_must() -> None:
    assert WORKFLOW["permissions"] == {}
    assert BUILD["permissions"] == {"contents": "read"}
    assert PUBLISH["permissions"] == {"pages": "write", "id-token": "write"}
    assert action(BUILD, "actions/checkout")["with"] == {"persist-credentials": False}


def test_publishes_main_alone() -> None:
    triggers = WORKFLOW[True]  # YAML 1.1 reads "on" as true
    assert triggers["push"] == {"branches": ["main"]}
    assert set(triggers) == {"push", "workflow_dispatch"}
    assert action(PUBLISH, "actions/deploy-pages")
    assert PUBLISH["needs"] == "build"
