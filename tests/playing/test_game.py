import numpy as np
import pytest
import torch

from playing.game import MAX_REWINDS, Game
from playing.simulator import Simulator
from tests.configurations import MODELS
from tests.playing.untrained import simulator
from utils.images import normalize

STACK = np.random.default_rng(0).integers(0, 256, (1, 16, 32, 3), np.uint8)
STACK_OF_TWO = np.random.default_rng(1).integers(0, 256, (2, 16, 32, 3), np.uint8)


@pytest.fixture(params=MODELS.values(), ids=list(MODELS))
def played(request: pytest.FixtureRequest) -> Simulator:
    return simulator(*request.param)


@pytest.fixture
def stack(played: Simulator) -> np.ndarray:
    return STACK if played.stack_shape[0] == 1 else STACK_OF_TWO


@pytest.fixture
def game(played: Simulator, stack: np.ndarray) -> Game:
    return Game(played, stack, seed=3)


def test_it_begins_with_the_starting_frame(game: Game, stack: np.ndarray) -> None:
    assert np.array_equal(game.frame, stack[-1])
    assert not game.can_rewind


@pytest.mark.parametrize("stack", [STACK, STACK_OF_TWO])
def test_actions_are_steps_of_the_model(stack: np.ndarray) -> None:
    overrides = [f"{name}.batching.observation_stacking={len(stack)}" for name in ("training", "evaluation")]
    played = simulator(*overrides)
    game = Game(played, stack, seed=0)
    model = played.model
    newest_first = [normalize(torch.from_numpy(frame)).permute(2, 0, 1) for frame in stack[::-1]]
    observation, state = torch.cat(newest_first)[None], model.initial_state(1)
    for action in (2, 0, 1, 1):
        game.act(action)
        expected = model.step(state, observation, torch.eye(3)[[action]], torch.zeros(1, 2))
        state, observation = expected.state, expected.observation
        pixels = ((expected.frame[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255)
        assert np.array_equal(game.frame, pixels.to(torch.uint8))
    assert observation.shape == (1, 3 * len(stack), 16, 32)


def test_actions_differ(game: Game, stack: np.ndarray) -> None:
    other = Game(game.simulator, stack, seed=3)
    game.act(0)
    other.act(1)
    assert not np.array_equal(game.frame, other.frame)


def test_a_step_taken_back_leaves_no_trace(game: Game) -> None:
    frames = [game.frame]
    for action in (0, 1, 2, 0):
        game.act(action, noise=True)
        frames.append(game.frame)
    for frame in frames[-2:0:-1]:
        game.rewind()
        assert np.array_equal(game.frame, frame)
    for action, frame in zip((1, 2, 0), frames[2:], strict=True):
        game.act(action, noise=True)
        assert np.array_equal(game.frame, frame)


def test_there_is_an_end_to_taking_back() -> None:
    game = Game(simulator(), STACK, seed=3)
    for _ in range(MAX_REWINDS + 2):
        game.act(1)
    for _ in range(MAX_REWINDS):
        game.rewind()
    assert game.num_steps == 2
    assert not game.can_rewind
    with pytest.raises(IndexError):
        game.rewind()


def test_noise_follows_from_seed_and_step(game: Game, stack: np.ndarray) -> None:
    same, other = (Game(game.simulator, stack, seed) for seed in (3, 4))
    quiet = Game(game.simulator, stack, seed=3)
    for _ in range(2):
        for noisy in (game, same, other):
            noisy.act(0, noise=True)
        quiet.act(0)
    assert np.array_equal(game.frame, same.frame)
    assert not np.array_equal(game.frame, other.frame)
    assert not np.array_equal(game.frame, quiet.frame)


def test_games_side_by_side_are_played_as_alone() -> None:
    played = simulator()
    stacks = np.random.default_rng(0).integers(0, 256, (3, 1, 16, 32, 3), np.uint8)
    together = played.start(stacks)
    alone = [played.start(stack[None]) for stack in stacks]
    for actions in ([0, 1, 2], [2, 2, 0]):
        together = played.step(together, np.array(actions))
        alone = [played.step(moment, np.array([action])) for moment, action in zip(alone, actions, strict=True)]
    torch.testing.assert_close(together.observation, torch.cat([moment.observation for moment in alone]))
    assert together.frames.shape == (3, 16, 32, 3)
