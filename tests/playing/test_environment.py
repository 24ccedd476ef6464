"""A checkpoint is a gymnasium environment, alone or as many games in one forward pass."""

import importlib
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pygame
import pytest
import torch
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env
from PIL import Image

from model.caddy import Caddy
from playing.environment import ENVIRONMENT_ID, FRAME_RATE, PlayableVideoEnv, PlayableVideoVectorEnv
from playing.simulator import Simulator
from tests.configurations import small_configuration
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.command import UserError
from utils.configuration import Configuration

REPOSITORY = Path(__file__).parents[2]
HEIGHT, WIDTH = 16, 32
NUM_STARTS = 5


@pytest.fixture
def config(tmp_path: Path) -> Configuration:
    """A tiny model whose data set is not there."""
    stacking = "batching.observation_stacking=2"
    return small_configuration(
        f"data.data_root={tmp_path / 'absent'}", f"training.{stacking}", f"evaluation.{stacking}"
    )


@pytest.fixture
def starts() -> np.ndarray:
    """Stacks of noise: uint8 (N, 2, H, W, 3)."""
    return np.random.default_rng(0).integers(0, 256, (NUM_STARTS, 2, HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture
def model(config: Configuration) -> Caddy:
    """Random weights, large enough that actions make a difference."""
    torch.manual_seed(0)
    model = Caddy(config).eval()
    for name, parameter in model.named_parameters():
        if name.startswith(("dynamics_network", "rendering_network")):
            parameter.data *= 3
    return model


@pytest.fixture
def checkpoint(tmp_path: Path, config: Configuration, model: Caddy, starts: np.ndarray) -> Path:
    """A checkpoint of the tiny model, as training stores it."""
    path = tmp_path / "latest.pth.tar"
    contents = {"model": model.state_dict(), "config": config.model_dump(mode="json")}
    save_checkpoint(path, {**contents, "starting_frames": torch.from_numpy(starts)})
    return path


@pytest.fixture
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def _invisible_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def make(checkpoint: Path, **options: Any) -> gymnasium.Env[np.ndarray, Any]:
    return gymnasium.make(ENVIRONMENT_ID, checkpoint=str(checkpoint), device="cpu", **options)


def make_vec(checkpoint: Path, **options: Any) -> gymnasium.vector.VectorEnv[np.ndarray, Any, np.ndarray]:
    return gymnasium.make_vec(ENVIRONMENT_ID, checkpoint=str(checkpoint), device="cpu", **options)


class TestEnvironment:
    @pytest.mark.usefixtures("_warnings_are_errors", "_invisible_screen")
    def test_passes_the_checker_of_gymnasium(self, checkpoint: Path) -> None:
        environment = make(checkpoint).unwrapped
        assert isinstance(environment, PlayableVideoEnv)
        check_env(environment)

    @pytest.mark.parametrize("names", [None, ("left", "stay", "right")])
    @pytest.mark.parametrize("create", [make, make_vec])
    def test_knows_what_actions_are_called(
        self, checkpoint: Path, names: tuple[str, ...] | None, create: Callable[[Path], Any]
    ) -> None:
        if names:
            save_checkpoint(checkpoint, {**load_checkpoint(checkpoint), "action_names": list(names)})
        assert create(checkpoint).unwrapped.action_names == names

    @pytest.mark.usefixtures("_warnings_are_errors")
    def test_plays_what_the_simulator_plays(self, checkpoint: Path, model: Caddy, starts: np.ndarray) -> None:
        environment = make(checkpoint, render_mode="rgb_array")
        assert environment.observation_space == gymnasium.spaces.Box(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        assert environment.action_space == gymnasium.spaces.Discrete(3)
        assert environment.metadata["render_fps"] == FRAME_RATE

        frame, information = environment.reset(seed=0)
        assert information == {}
        (start,) = (stack for stack in starts if np.array_equal(stack[-1], frame))
        simulator = Simulator(model)
        moment = simulator.start(start[np.newaxis])
        seen = set()
        for action in (0, 2, 1, 1, np.int32(0)):
            moment = simulator.step(moment, np.array([int(action)]))
            frame, reward, terminated, truncated, information = environment.step(action)
            np.testing.assert_array_equal(frame, moment.frames[0])
            np.testing.assert_array_equal(environment.render(), frame)
            assert (reward, terminated, truncated, information) == (0.0, False, False, {})
            seen.add(frame.tobytes())
        assert len(seen) == 5

    def test_starting_frames_follow_from_the_seed(self, checkpoint: Path, starts: np.ndarray) -> None:
        environment = make(checkpoint)

        def drawn() -> list[bytes]:
            first, _ = environment.reset(seed=4)
            return [first.tobytes(), *(environment.reset()[0].tobytes() for _ in range(20))]

        assert drawn() == drawn()
        assert set(drawn()) == {start[-1].tobytes() for start in starts}
        assert len({environment.reset(seed=seed)[0].tobytes() for seed in range(20)}) > 1

    def test_a_new_game_forgets_the_one_before(self, checkpoint: Path) -> None:
        environment = make(checkpoint)
        environment.reset(seed=1)
        first = environment.step(1)[0]
        environment.step(2)
        environment.reset(seed=1)
        np.testing.assert_array_equal(environment.step(1)[0], first)

    def test_time_limit(self, checkpoint: Path) -> None:
        environment = make(checkpoint, max_episode_steps=2)
        environment.reset()
        assert [environment.step(0)[3] for _ in range(2)] == [False, True]

    def test_begins_with_a_picture(self, checkpoint: Path, tmp_path: Path) -> None:
        pixels = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "picture.png")
        frame, _ = make(checkpoint, initial_frame=str(tmp_path / "picture.png")).reset()
        np.testing.assert_array_equal(frame, pixels)

    def test_weights_alone_need_a_configuration(self, config: Configuration, model: Caddy, tmp_path: Path) -> None:
        path, yaml = tmp_path / "weights.pth.tar", tmp_path / "tiny.yaml"
        torch.save(model.state_dict(), path)
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "picture.png")
        yaml.write_text(config.to_yaml())
        with pytest.raises(UserError, match=r"weights\.pth\.tar: does not hold its configuration; name the YAML file"):
            make(path)
        environment = make(path, config=str(yaml), initial_frame=str(tmp_path / "picture.png"))
        assert environment.reset()[0].shape == (HEIGHT, WIDTH, 3)

    @pytest.mark.usefixtures("_invisible_screen")
    def test_window_shows_the_frame_enlarged(self, checkpoint: Path) -> None:
        environment = make(checkpoint, render_mode="human")
        environment.reset(seed=0)
        for action in (0, 1):
            frame = environment.step(action)[0]
            assert environment.render() is None
            seen = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
            factor = 480 // HEIGHT
            np.testing.assert_array_equal(seen, frame.repeat(factor, axis=0).repeat(factor, axis=1))
        environment.close()
        environment.close()
        assert not pygame.display.get_init()


class TestMistakes:
    def test_missing_checkpoint(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"no\.pth\.tar: no such checkpoint"):
            make(tmp_path / "no.pth.tar")

    def test_configuration_of_another_model(self, checkpoint: Path, tmp_path: Path) -> None:
        (tmp_path / "other.yaml").write_text(small_configuration().to_yaml())
        with pytest.raises(UserError, match="made with another configuration"):
            make(checkpoint, config=str(tmp_path / "other.yaml"))

    def test_render_mode(self, checkpoint: Path) -> None:
        with pytest.raises(UserError, match="use one of rgb_array, human, or None"):
            PlayableVideoEnv(checkpoint, render_mode="ansi")
        with pytest.raises(UserError, match="use one of rgb_array, or None"):
            PlayableVideoVectorEnv(checkpoint, render_mode="human")

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems have a screen")
    def test_window_without_a_screen(self, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(UserError, match="finds no screen to open a window on; use 'rgb_array'"):
            make(checkpoint, render_mode="human")

    def test_actions(self, checkpoint: Path) -> None:
        environment = make(checkpoint)
        environment.reset()
        for action in (3, -1, 0.5):
            with pytest.raises(InvalidAction):
                environment.step(action)
        environments = make_vec(checkpoint, num_envs=2)
        environments.reset()
        for actions in ([0, 3], [0], [0.0, 1.0]):
            with pytest.raises(InvalidAction):
                environments.step(actions)

    def test_step_before_reset(self, checkpoint: Path) -> None:
        with pytest.raises(ResetNeeded):
            make(checkpoint).step(0)
        with pytest.raises(ResetNeeded):
            make_vec(checkpoint, num_envs=2).step(np.array([0, 0]))


@pytest.mark.usefixtures("_warnings_are_errors")
class TestVectorEnvironment:
    def test_plays_the_games_of_single_environments(self, checkpoint: Path) -> None:
        environments = make_vec(checkpoint, num_envs=3, vectorization_mode="vector_entry_point")
        separate = make_vec(checkpoint, num_envs=3, vectorization_mode="sync")
        assert isinstance(environments, PlayableVideoVectorEnv)
        assert environments.observation_space == separate.observation_space
        assert environments.action_space == separate.action_space

        for seed in (5, None):
            frames, _ = environments.reset(seed=seed)
            np.testing.assert_array_equal(frames, separate.reset(seed=seed)[0])
            for actions in ([0, 1, 2], [2, 1, 0], [1, 1, 1]):
                ours = environments.step(np.array(actions))
                theirs = separate.step(np.array(actions))
                np.testing.assert_allclose(ours[0].astype(int), theirs[0].astype(int), atol=1)
                for mine, other in zip(ours[1:4], theirs[1:4], strict=True):
                    np.testing.assert_array_equal(mine, other)
                    assert mine.dtype == other.dtype
                assert ours[4] == {}
        assert len({frame.tobytes() for frame in ours[0]}) > 1

    def test_advances_all_games_in_one_forward_pass(self, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        batch_sizes = []
        step = Caddy.step

        def counting(self: Caddy, state: Any, observation: torch.Tensor, *rest: Any) -> Any:
            batch_sizes.append(len(observation))
            return step(self, state, observation, *rest)

        monkeypatch.setattr(Caddy, "step", counting)
        environments = make_vec(checkpoint, num_envs=4, render_mode="rgb_array")
        environments.reset(seed=0)
        frames = environments.step(np.array([0, 1, 2, 0]))[0]
        assert batch_sizes == [4]
        rendered = environments.render()
        assert rendered is not None
        np.testing.assert_array_equal(np.stack(rendered), frames)

    def test_games_that_are_truncated_begin_anew(self, checkpoint: Path, starts: np.ndarray) -> None:
        environments = make_vec(checkpoint, num_envs=2, max_episode_steps=2)
        environments.reset(seed=0)
        actions = np.array([1, 2])
        truncations = []
        for _ in range(6):
            frames, *_, truncated, _ = environments.step(actions)
            truncations.append(truncated.tolist())
        assert truncations == [[False] * 2, [True] * 2, [False] * 2] * 2
        assert {frame.tobytes() for frame in frames} <= {start[-1].tobytes() for start in starts}


def test_without_gymnasium_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    monkeypatch.delitem(sys.modules, "playing.environment")
    with pytest.raises(ImportError, match="needs gymnasium, which is not installed; install it: pip install gymnasium"):
        importlib.import_module("playing.environment")


def test_nothing_else_needs_gymnasium_but_a_robot_that_is_filmed() -> None:
    others = (".venv", "tests", "benchmarks")
    rooms = [path for path in REPOSITORY.iterdir() if path.is_dir() and path.name not in others]
    sources = [*REPOSITORY.glob("*.py"), *(path for room in rooms for path in room.rglob("*.py"))]
    pattern = re.compile(r"^\s*(import|from) (gymnasium|playing\.environment)\b", re.MULTILINE)
    assert REPOSITORY / "playing" / "run.py" in sources
    assert [path.name for path in sources if pattern.search(path.read_text(encoding="utf-8"))] == ["environment.py"]
