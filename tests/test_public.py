"""What a code host and its tools read: workflows, forms, the citation, hooks before a commit."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

import play
from utils.command import EXIT_DONE

REPOSITORY = Path(__file__).parent.parent
WORKFLOWS = sorted((REPOSITORY / ".github/workflows").glob("*.yml"))
FORMS = [path for path in sorted((REPOSITORY / ".github/ISSUE_TEMPLATE").glob("*.yml")) if path.stem != "config"]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]

BINARIES = {"docker", "pip", "python", "make", ".ci/run"}
"""The programs that the steps of workflows start."""


def read(path: Path) -> Any:
    """The contents of a YAML file, "on" and the like as texts."""
    return yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)


TESTS = read(REPOSITORY / ".github/workflows/test.yml")


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


COMMANDS = [step["run"] for path in WORKFLOWS for step in steps(read(path)) if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
class TestWorkflow:
    def test_has_what_the_host_needs(self, path: Path) -> None:
        workflow = read(path)
        assert workflow.keys() <= {"name", "on", "permissions", "concurrency", "env", "jobs"}
        assert {"name", "on", "permissions", "concurrency", "jobs"} <= workflow.keys()
        assert workflow["on"].keys() <= {"push", "pull_request", "workflow_dispatch"}
        for job in workflow["jobs"].values():
            assert {"runs-on", "steps"} <= job.keys()
            assert all(("uses" in step) != ("run" in step) for step in job["steps"])
            assert set(job.get("needs", "").split()) <= workflow["jobs"].keys()

    def test_actions_have_a_version_and_are_the_host_s_own(self, path: Path) -> None:
        actions = [step["uses"] for step in steps(read(path)) if "uses" in step]
        assert actions
        assert [action for action in actions if not re.fullmatch(r"actions/[\w-]+@v\d+(\.\d+)*", action)] == []

    def test_a_pull_request_reaches_no_secret_and_writes_nothing(self, path: Path) -> None:
        workflow = read(path)
        assert "secrets." not in path.read_text(encoding="utf-8")
        if "pull_request" in workflow["on"]:
            permissions = [workflow["permissions"], *(job.get("permissions", {}) for job in workflow["jobs"].values())]
            assert {access for each in permissions for access in each.values()} == {"read"}
        checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
        assert all(step["with"] == {"persist-credentials": "false"} for step in checkouts)

    def test_no_command_holds_what_somebody_else_wrote(self, path: Path) -> None:
        assert [step["run"] for step in steps(read(path)) if "${{" in step.get("run", "")] == []


class TestTests:
    def test_run_with_every_python(self) -> None:
        pythons = TESTS["jobs"]["linux"]["strategy"]["matrix"]["python"]
        assert pythons == [
            f"3.{minor}" for minor in range(40) if f"3.{minor}" in SpecifierSet(PROJECT["requires-python"])
        ]
        assert TESTS["jobs"]["linux"]["steps"][-1]["run"] == ".ci/run"

    def test_cancel_runs_that_a_newer_push_supersedes(self) -> None:
        assert TESTS["concurrency"] == {"group": "tests-${{ github.ref }}", "cancel-in-progress": "true"}

    def test_cache_what_the_lock_names(self) -> None:
        pythons = [step["with"] for step in steps(TESTS) if step.get("uses", "").startswith("actions/setup-python@")]
        assert len(pythons) == 2
        assert all(each["cache"] == "pip" for each in pythons)
        assert all(each["cache-dependency-path"] == "requirements.lock" for each in pythons)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_workflows_name_what_there_is(command: str) -> None:
    subprocess.run(["bash", "-n", "-c", command], check=True)
    program, *arguments = shlex.split(command)
    assert program in BINARIES
    words = [word for argument in [program, *arguments] for word in argument.split()]
    files = [word for word in words if re.match(r"(tests|configs)/|.*\.(py|lock|yaml)$|\.ci/", word)]
    assert [file for file in files if not (REPOSITORY / file).exists()] == []
    if program == "make":
        assert re.search(rf"^{arguments[0]}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    if arguments[:1] == ["compose"]:
        services = read(REPOSITORY / "compose.yaml")["services"]
        assert next(word for word in arguments[2:] if not word.startswith("--")) in services


@pytest.mark.parametrize("command", [command for command in COMMANDS if "--headless" in command])
def test_games_of_workflows_are_played(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    if command.startswith("make "):
        recipe = subprocess.run(shlex.split(f"make -n {command[5:]}"), capture_output=True, text=True, check=True)
        (command,) = (line for line in recipe.stdout.splitlines() if "play.py" in line)
    arguments = command.partition("python play.py ")[2]
    monkeypatch.setattr(sys, "argv", ["play.py", *shlex.split(arguments), "--play_root", str(tmp_path)])
    assert play.main() == EXIT_DONE
    assert list(tmp_path.glob("*/*/*/play.json"))


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_forms_are_well_formed(path: Path) -> None:
    form = read(path)
    assert {"name", "description", "body"} <= form.keys()
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"input", "textarea", "dropdown", "checkboxes"}
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations") == {"required": "true"} for field in fields)


def test_the_citation_is_complete() -> None:
    citation = read(REPOSITORY / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    paper = citation["preferred-citation"]
    bibtex = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition("```bibtex")[2].partition("```")[0]
    assert {"type", "title", "authors"} <= paper.keys()
    assert paper["authors"][0]["family-names"] == "Menapace"
    assert all(author["given-names"] in bibtex for author in paper["authors"] if author["given-names"].isascii())
    assert f"title     = {{{paper['title']}}}" in bibtex
    assert f"pages     = {{{paper['start']}-{paper['end']}}}" in bibtex
    assert f"year      = {{{paper['year']}}}" in bibtex


def test_hooks_before_a_commit_are_those_of_make_lint() -> None:
    (repository,) = read(REPOSITORY / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    assert all({"id", "name", "entry", "language"} <= hook.keys() for hook in repository["hooks"])
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert lint is not None
    assert [f"\t@{hook['entry']}" for hook in repository["hooks"]] == lint[1].splitlines()


def test_the_changelog_tells_of_this_version() -> None:
    changelog = (REPOSITORY / "docs/changelog.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (\S+)", changelog, re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert PROJECT["version"] in versions
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", changelog, re.MULTILINE)) <= kinds
