"""Games that a model generates, stretch by stretch, and pictures of them.

Dimensions: G games, T frames of each, H x W pixels.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

from evaluation.play.true_play import STRETCH, Stretch, TruePlay
from playing.simulator import Simulator
from utils.images import all_labelled, enlarge, tile

LONGEST_HOLD = 4
"""Maximum number of steps for which an action is held."""

ANIMATED_GAMES, ANIMATED_FRAMES = 4, 40
"""Number of games that an animation shows side by side, and number of its frames."""

ANIMATION_HEIGHT = 192
"""Height of an animation in pixels."""


def random_script(random: np.random.Generator, actions: Sequence[int], num_games: int, num_frames: int) -> np.ndarray:
    """Draw actions uniformly, each held for 1 to `LONGEST_HOLD` steps: (num_games, num_frames)."""
    games = []
    for _ in range(num_games):
        holds = random.integers(1, LONGEST_HOLD, num_frames, endpoint=True)
        games.append(np.repeat(random.choice(actions, num_frames), holds)[:num_frames])
    return np.stack(games)


def true_script(random: np.random.Generator, play: TruePlay, num_frames: int) -> np.ndarray:
    """Return the inferred actions of true sequences, and then those of others drawn at random: (G, num_frames)."""
    needed = -(-num_frames // play.num_steps)
    others = random.integers(len(play.keys), size=(len(play.keys), needed))
    others[:, 0] = np.arange(len(play.keys))
    script: np.ndarray = play.actions[others].reshape(len(play.keys), -1)[:, :num_frames]
    return script


def generate(simulator: Simulator, play: TruePlay, script: np.ndarray, description: str) -> Iterator[Stretch]:
    """Yield games played from the first frames of true sequences, side by side, with the true frames beside them.

    Args:
        simulator: the model.
        play: the sequences, whose frames are the truth as long as they last.
        script: (G, T-1) actions.
        description: what the progress bar says.
    """
    moment = simulator.start(play.stacks())
    last = moment.frames
    with tqdm(total=script.shape[1], desc=description, unit="frame", disable=None) as progress:
        for first in range(0, script.shape[1], STRETCH):
            actions = script[:, first : first + STRETCH]
            frames = [last]
            for chosen in actions.T:
                moment = simulator.step(moment, chosen)
                frames.append(moment.frames)
                progress.update()
            last = frames[-1]
            yield Stretch(np.stack(frames, axis=1), actions, play.truth_of(first + 1, actions.shape[1]))


def animated(frames: np.ndarray, script: np.ndarray) -> np.ndarray:
    """Draw some games side by side, enlarged, with the number of the action that led to each frame.

    Args:
        frames: uint8 (G, T, H, W, 3).
        script: (G, T-1) actions from 0 to K - 1.

    Returns:
        uint8 (frames, height, width, 3).
    """
    frames = frames[:ANIMATED_GAMES, 1 : 1 + ANIMATED_FRAMES]
    large = enlarge(frames, max(1, ANIMATION_HEIGHT // frames.shape[2]))
    steps = zip(large.swapaxes(0, 1), script[: len(frames)].T, strict=False)
    return np.stack(
        [tile(all_labelled(step, [str(action + 1) for action in actions])[None]) for step, actions in steps]
    )
