"""`export.py`, as users meet it."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import export
from model.build import build_model
from model.caddy import Caddy
from playing.simulator import Simulator
from playing.starting_frames import STARTING_FRAMES
from tests.command import Command, files
from tests.configurations import SEEING
from tests.faults import file_size_limit
from tests.runtimes import SMALL_RUNTIME, write_small_runtime
from tests.synthetic import SIDE, square_configuration, write_configuration, write_square_videos
from utils.checkpoint import LATEST, load_checkpoint, save_checkpoint
from web import exporter, page_folder
from web.onnx_packages import onnxruntime


class ExportCommand(Command):
    """`export.py`."""

    @property
    def page(self) -> Path:
        return self.folder / "page"

    def exported(self, *arguments: str) -> dict[str, Any]:
        """Export and return the contents of `game.json`."""
        code, _, err = self(*arguments)
        assert code == 0, err
        game: dict[str, Any] = json.loads((self.page / "game.json").read_text())
        return game


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> ExportCommand:
    """Export the synthetic configuration's run, with a runtime of a few bytes."""
    write_square_videos(tmp_path / "data")
    write_configuration(tmp_path)
    torch.manual_seed(0)
    config = square_configuration(tmp_path)
    save_checkpoint(config.logging.save_directory / LATEST, {"model": Caddy(config).state_dict()})
    folder = tmp_path / "ort"
    write_small_runtime(folder, monkeypatch)
    common = ("--config", str(tmp_path / "square.yaml"), "--output_directory", str(tmp_path / "page"))
    return ExportCommand(export, tmp_path, monkeypatch, capsys, *common, "--runtime_directory", str(folder))


def checkpoint_path(command: ExportCommand) -> Path:
    return command.folder / "checkpoints" / "square" / LATEST


def change_checkpoint(command: ExportCommand, change: Callable[[dict[str, Any]], Any]) -> None:
    """Have a checkpoint hold what `change` makes of it."""
    path = checkpoint_path(command)
    torch.save(change(load_checkpoint(path)), path)


def play_exported(folder: Path, game: dict[str, Any], actions: list[int]) -> list[np.ndarray]:
    """Play from the first starting frame with nothing but the files: the pixels of each step, uint8 (H, W, 4)."""
    session = onnxruntime.InferenceSession(str(folder / game["model"]["file"]), providers=["CPUExecutionProvider"])
    start = np.asarray(Image.open(folder / game["starts"][0]), np.float32) / 127.5 - 1
    feeds = {"observation": np.tile(start.transpose(2, 0, 1)[np.newaxis], (1, game["observation_stacking"], 1, 1))}
    initial = np.frombuffer((folder / game["initial_state"]["file"]).read_bytes(), "<f4")
    assert initial.nbytes == game["initial_state"]["bytes"]
    sizes = [int(np.prod(state["shape"])) for state in game["states"]]
    for state, part in zip(game["states"], np.split(initial, np.cumsum(sizes)[:-1]), strict=True):
        feeds[state["name"]] = part.reshape(state["shape"])
    pixels = []
    for number, action in enumerate(actions):
        feeds["action"] = np.eye(len(game["actions"]), dtype=np.float32)[[action]]
        if game["uses_variations"]:
            feeds["variation"] = np.zeros((1, game["variation_dimension"]), np.float32)
        if game["counts_steps"]:
            feeds["step"] = np.array([number])
        outputs = session.run(None, feeds)
        found = dict(zip([output.name for output in session.get_outputs()], outputs, strict=True))
        feeds = {name: found[f"next_{name}"] for name in ("observation", *(state["name"] for state in game["states"]))}
        pixels.append(found["pixels"])
    return pixels


def test_a_page_is_written_with_everything_it_needs(command: ExportCommand) -> None:
    game = command.exported("--fps", "7.5")
    own = {path.name for path in page_folder.PAGE.iterdir()}
    written = {str(path.relative_to(command.page)) for path in command.page.rglob("*") if path.is_file()}
    named = {
        "model.onnx",
        "initial_state.bin",
        "first_frame.png",
        *game["starts"],
        *(f"runtime/{name}" for name in SMALL_RUNTIME),
    }
    assert written == own | named | {"game.json"}
    for name, content in SMALL_RUNTIME.items():
        assert (command.page / "runtime" / name).read_bytes() == content
    assert game["model"] == {"file": "model.onnx", "bytes": (command.page / "model.onnx").stat().st_size}
    expected = {
        "format_version": 1,
        "name": "square",
        "width": SIDE,
        "height": SIDE,
        "frame_rate": 7.5,
        "observation_stacking": 1,
        "variation_dimension": 2,
        "uses_variations": True,
        "counts_steps": False,
        "actions": ["1", "2", "3"],
    }
    assert {name: game[name] for name in expected} == expected
    assert game["runtime"]["version"] == "1.2.3"
    assert game["runtime"]["base"] == "runtime/"


@pytest.mark.parametrize(
    "settings",
    [
        (),
        (
            "model.action_network.use_variations=false",
            "model.dynamics_network.first_steps_statistics=2",
            "training.batching.observation_stacking=2",
            "evaluation.batching.observation_stacking=2",
        ),
        SEEING,
    ],
)
def test_the_files_play_what_the_checkpoint_plays(command: ExportCommand, settings: tuple[str, ...]) -> None:
    config = square_configuration(command.folder, *settings)
    model = build_model(config)
    for name, parameter in model.named_parameters():
        if "initial_hidden" in name:
            torch.nn.init.normal_(parameter)
    save_checkpoint(checkpoint_path(command), {"model": model.state_dict()})
    game = command.exported(*(argument for setting in settings for argument in ("--set", setting)))
    simulator = Simulator(model)
    start = np.asarray(Image.open(command.page / game["starts"][0]))
    moment = simulator.start(np.broadcast_to(start, (1, *simulator.stack_shape)).copy())
    actions = [0, 2, 1, 1]
    for action, pixels in zip(actions, play_exported(command.page, game, actions), strict=True):
        moment = simulator.step(moment, np.array([action]))
        assert np.abs(pixels[..., :3].astype(int) - moment.frames[0]).max() <= 1


def test_the_report_says_what_it_is_worth_and_what_to_do_next(command: ExportCommand) -> None:
    code, out, _ = command()
    assert code == 0
    assert f"model       {(command.page / 'model.onnx').stat().st_size / 1e6:.1f} MB, weights in float32" in out
    assert "a step      58 operations, 3 million multiply-adds" in out
    assert "(a naive export: 127 operations, 3 million)" in out
    assert "at most, in [-1, 1], over 20 steps" in out
    assert f"starts from {command.folder / 'data'} (val)" in out
    assert "next        the same command with --serve" in out


def test_starting_frames_are_different_frames_of_the_data_set(command: ExportCommand) -> None:
    game = command.exported("--starting_frames", "5")
    assert game["starts"] == [f"starts/{number:02d}.png" for number in range(5)]
    pictures = [np.asarray(Image.open(command.page / name)) for name in game["starts"]]
    assert {picture.shape for picture in pictures} == {(SIDE, SIDE, 3)}
    assert len({picture.tobytes() for picture in pictures}) == 5


def test_without_data_it_starts_from_what_the_checkpoint_holds(command: ExportCommand) -> None:
    stacks = np.random.default_rng(0).integers(0, 256, (3, 1, SIDE, SIDE, 3), np.uint8)
    shutil.rmtree(command.folder / "data")
    change_checkpoint(command, lambda contents: {**contents, STARTING_FRAMES: torch.from_numpy(stacks)})
    game = command.exported()
    found = {np.asarray(Image.open(command.page / name)).tobytes() for name in game["starts"]}
    assert found == {stack[0].tobytes() for stack in stacks}


def test_an_initial_frame_is_the_only_one_to_start_from(command: ExportCommand) -> None:
    Image.new("RGB", (SIDE, SIDE), (10, 20, 30)).save(command.folder / "picture.png")
    game = command.exported("--initial_frame", str(command.folder / "picture.png"))
    (name,) = game["starts"]
    assert np.unique(np.asarray(Image.open(command.page / name)).reshape(-1, 3), axis=0).tolist() == [[10, 20, 30]]


@pytest.mark.parametrize(
    "change",
    [
        lambda contents: contents["model"],
        lambda contents: {
            "model": contents["model"],
            "optimizer": {},
            "lr_scheduler": {},
            "step": 3,
            "mi_estimator": {"matrix_estimator.estimated_matrix": torch.zeros(3, 3)},
        },
    ],
    ids=["bare weights", "authors"],
)
def test_checkpoints_of_others_are_exported(
    command: ExportCommand, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    command.exported()
    ours = (command.page / "model.onnx").read_bytes()
    change_checkpoint(command, change)
    command.exported()
    assert (command.page / "model.onnx").read_bytes() == ours


def test_the_first_frame_is_what_the_first_action_makes_of_the_first_start(command: ExportCommand) -> None:
    game = command.exported()
    (pixels,) = play_exported(command.page, game, [0])
    assert np.array_equal(np.asarray(Image.open(command.page / game["first_frame"])), pixels[..., :3])


def test_half_precision_halves_the_model(command: ExportCommand) -> None:
    full = command.exported()["model"]["bytes"]
    half = command.exported("--half")["model"]["bytes"]
    assert half < 0.7 * full  # the tiny model's nodes are as large as its weights
    assert "weights in float16" in command("--half")[1]


@pytest.mark.parametrize(
    ("contents", "arguments", "actions", "frame_rate"),
    [
        ({}, "", "1 2 3", 10),
        ({}, "--action_names left stay right", "left stay right", 10),
        ({"action_names": ["a", "b", "c"], "real_time_fps": 15}, "", "a b c", 15),
        ({"action_names": ["a", "b", "c"], "real_time_fps": 15}, "--action_names d e f --fps 5", "d e f", 5),
    ],
)
def test_actions_take_names_and_real_time_its_speed(
    command: ExportCommand, contents: dict[str, Any], arguments: str, actions: str, frame_rate: float
) -> None:
    change_checkpoint(command, lambda checkpoint: checkpoint | contents)
    game = command.exported(*arguments.split())
    assert (game["actions"], game["frame_rate"]) == (actions.split(), frame_rate)


def test_a_linked_runtime_is_not_copied(command: ExportCommand) -> None:
    game = command.exported("--runtime", "cdn")
    assert game["runtime"]["base"].startswith("https://")
    assert not (command.page / "runtime").exists()


def test_a_single_file_is_alone(command: ExportCommand) -> None:
    code, out, err = command("--single_file")
    assert code == 0, err
    assert [path.name for path in command.page.iterdir()] == ["index.html"]
    assert f"next        open {command.page / 'index.html'} in a browser" in out
    assert command("--single_file")[0] == 0  # again


class TestSeveralGames:
    def two(self, command: ExportCommand) -> list[str]:
        return ["--config", *[str(command.folder / "square.yaml")] * 2]

    def test_are_listed_and_each_has_its_folder(self, command: ExportCommand) -> None:
        code, out, err = command(*self.two(command), "--starting_frames", "2", "--half")
        assert code == 0, err
        assert out.count("game        square\n") == out.count("weights in float16") == 2
        page = json.loads((command.page / "game.json").read_text())
        assert page["format_version"] == 1
        assert page["runtime"]["base"] == "runtime/"
        assert [game["name"] for game in page["games"]] == ["square", "square-2"]
        for listed in page["games"]:
            game = json.loads((command.page / listed["file"]).read_text())
            assert listed["file"] == f"games/{listed['name']}/game.json"
            assert listed["bytes"] == game["model"]["bytes"] + game["initial_state"]["bytes"]
            assert (listed["actions"], listed["thumbnail"]) == (game["actions"], game["starts"][0])
            (pixels,) = play_exported(command.page, game, [0])
            assert np.array_equal(np.asarray(Image.open(command.page / game["first_frame"])), pixels[..., :3])
        assert not (command.page / "model.onnx").exists()

    def test_are_those_of_configurations_and_checkpoints_in_pairs(self, command: ExportCommand) -> None:
        paths = [str(checkpoint_path(command))] * 3
        assert command.refused(*self.two(command), "--checkpoint", *paths) == (
            "--config names 2 and --checkpoint 3; give as many of both, or leave out one"
        )

    @pytest.mark.parametrize("option", [("--single_file",), ("--initial_frame", "x.png"), ("--action_names", "a")])
    def test_have_no_options_of_one(self, command: ExportCommand, option: tuple[str, ...]) -> None:
        assert command.refused(*self.two(command), *option) == (
            f"{option[0]} is for one game, not for 2; name one, or leave it out"
        )


def test_serving_follows_exporting(command: ExportCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[tuple[Path, int, bool]] = []
    monkeypatch.setattr(
        "export.serve", lambda folder, port: served.append((folder, port, (folder / "game.json").exists()))
    )
    assert command("--serve", "--port", "1234")[0] == 0
    assert served == [(command.page, 1234, True)]


class TestAnotherExport:
    def test_replaces_its_own_files_and_keeps_others(self, command: ExportCommand) -> None:
        command.exported("--starting_frames", "2")
        first = files(command.page)
        (command.page / "style.css").write_text("broken")
        (command.page / "CNAME").write_text("mine")
        command.exported("--starting_frames", "2")
        assert files(command.page) == {**first, command.page / "CNAME": b"mine"}

    def test_goes_into_an_empty_folder(self, command: ExportCommand) -> None:
        command.page.mkdir()
        command.exported()

    @pytest.mark.parametrize("name", ["notes.txt", "index.html", "game.json", ".git"])
    def test_is_refused_where_something_else_is(self, command: ExportCommand, name: str) -> None:
        command.page.mkdir()
        (command.page / name).write_text("<html><head></head></html>")
        assert command.refused() == (
            f"{command.page}: holds something else than an earlier export; choose another --output_directory"
        )

    def test_follows_one_that_was_killed(self, command: ExportCommand) -> None:
        (command.page / exporter.UNFINISHED / "page").mkdir(parents=True)
        command.exported()
        assert not (command.page / exporter.UNFINISHED).exists()

    def test_puts_the_file_by_which_it_is_known_first(
        self, command: ExportCommand, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moved: list[Path] = []
        replace = Path.replace

        def noted_replace(path: Path, target: Path) -> Path:
            moved.append(target)
            return replace(path, target)

        monkeypatch.setattr(Path, "replace", noted_replace)
        command.exported()
        unfinished = command.page / exporter.UNFINISHED
        pages = [path for path in moved if path.is_relative_to(command.page) and not path.is_relative_to(unfinished)]
        assert pages[0] == command.page / "index.html"
        assert len(pages) > 10


class TestMistakes:
    def test_no_checkpoint(self, command: ExportCommand) -> None:
        path = checkpoint_path(command)
        path.unlink()
        assert command.refused() == f"{path}: no such checkpoint; train one with train.py, or put one there"

    def test_a_checkpoint_of_another_model(self, command: ExportCommand) -> None:
        message = command.refused("--set", "model.dynamics_network.hidden_state_size=16")
        assert "made with another configuration" in message

    @pytest.mark.parametrize("names", [["left", "right"], ["a", "b", "c", "d"]])
    def test_too_few_or_too_many_names(self, command: ExportCommand, names: list[str]) -> None:
        assert command.refused("--action_names", *names) == (
            f"--action_names: {len(names)} names for the 3 actions of this model; give 3"
        )

    def test_nothing_to_start_from(self, command: ExportCommand) -> None:
        shutil.rmtree(command.folder / "data")
        assert command.refused().startswith("there is nothing to start from")

    def test_a_single_file_with_a_linked_runtime(self, command: ExportCommand) -> None:
        assert "a single file holds its runtime" in command.refused("--single_file", "--runtime", "cdn")

    def test_a_runtime_of_another_version(self, command: ExportCommand) -> None:
        (command.folder / "ort" / "ort.wasm").write_bytes(b"\0old")
        assert "ort.wasm" in command.refused()

    def test_a_folder_that_is_a_file(self, command: ExportCommand) -> None:
        command.page.write_text("a file")
        assert "is no folder; choose another --output_directory" in command.refused()

    @pytest.mark.parametrize("is_there", [False, True])
    def test_a_full_disk_leaves_all_as_it_was(self, command: ExportCommand, is_there: bool) -> None:
        if is_there:
            command.exported()
        with file_size_limit(20_000):
            message = command.refused()
        assert "free some space or choose another disk" in message

    @pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
    def test_a_missing_package(self, command: ExportCommand, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in sys.modules if name.startswith("web.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)
        message = command.refused()
        assert message.startswith(f"exporting needs {package}, which is not installed; install it: pip install onnx ")
