"""Playability of a trained Breakout model: does the paddle obey, and does the rest of the game stay intact?

Random actions, each held for one to four steps, are played from held-out frames. The same figures are measured on true
frames, which shows how far each can be trusted. A true action means left or right if its mean movement of the paddle
that way is more than half the largest of all actions, else stay. A learned action has the meaning of its best
one-to-one match, given the actions that the model infers from true steps.

The place of the ball is measured on held-out sequences with the actions that the model infers from them: one step ahead
of true frames, and after several of the model's own frames.

Dimensions: G sequences or games, T frames of each, K learned actions, H x W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from dataset.video_dataset import VideoDataset
from evaluation.breakout.ball import Drawn
from evaluation.breakout.held_out import Foresight, HeldOut, foresee, infer_held_out, open_held_out
from evaluation.breakout.measures import (
    LEFT,
    MEANINGS,
    RIGHT,
    STAY,
    Curves,
    Measures,
    PaddleLaws,
    Readings,
    SampleMean,
    ball_reach,
    find_paddles,
    measure,
)
from evaluation.breakout.physics import BallLaws, Physics, measure_physics
from evaluation.breakout.tracking import Playfield
from evaluation.metrics.action_accuracy import confusion_matrix, hungarian_accuracy, match_actions, movement_accuracy
from evaluation.play.games import animated, random_script
from playing.simulator import Simulator, load_simulator, play_games
from utils.command import UserError
from utils.configuration import Configuration
from utils.images import save_animation


@dataclass(frozen=True)
class Playability:
    """All figures of a model's playability."""

    action_accuracy: SampleMean
    """Share of held-out steps whose inferred action is the true one, under the best one-to-one match."""
    movement_accuracy: SampleMean
    """The same for actions read from the true movement of the paddle: an upper bound."""
    share_of_bound: SampleMean
    """`action_accuracy` as a share of `movement_accuracy`."""
    meanings: dict[int, str]
    """The meaning of each learned action, by its key, from 1."""
    laws: PaddleLaws
    generated: Measures
    true: Measures
    foresight: Foresight
    generated_physics: Physics
    true_physics: Physics
    curves: Curves
    """Curves of the generated frames."""
    generated_frames: int
    true_frames: int
    """Frames of each generated and each true sequence, without the first."""


def measure_playability(
    config: Configuration,
    device: torch.device,
    num_games: int = 16,
    num_frames: int = 200,
    seed: int = 0,
    animation: Path | None = None,
) -> Playability:
    """Play a run's latest checkpoint and measure the generated frames.

    Args:
        config: the run's configuration.
        device: the device to compute on.
        num_games: number of games, played side by side.
        num_frames: number of frames generated in each.
        seed: seed of starting frames and actions.
        animation: file for a GIF of the first games, with the actions drawn in; None for no GIF.

    Raises:
        UserError: there is no checkpoint, no held-out video with true actions, or they are not of Breakout.
    """
    simulator, _ = load_simulator(config, device)
    dataset = open_held_out(config)
    held_out = infer_held_out(simulator, dataset, config, device)
    playfield = Playfield.of(held_out.frames.reshape(-1, *held_out.frames.shape[2:]))
    positions = find_paddles(playfield, held_out.frames)
    meanings_of_true = true_meanings(np.diff(positions), held_out.actions)
    pressed_in_truth = _translate(held_out.actions, meanings_of_true)
    laws = PaddleLaws.of(positions, pressed_in_truth)

    meanings = learned_meanings(held_out, meanings_of_true, simulator.actions_count)
    generated, script = _play(simulator, dataset, list(meanings), num_games, num_frames, seed)
    if animation:
        save_animation(animation, animated(generated, script))

    read = Readings.of(playfield, laws, generated, _translate(script, meanings))
    read_of_true = Readings.of(playfield, laws, held_out.frames, pressed_in_truth)
    reach = ball_reach(read_of_true.balls)
    ball_laws = BallLaws.of(playfield, read_of_true)
    accuracy = hungarian_accuracy(_confusion(held_out, simulator.actions_count))
    known = np.isfinite(np.diff(positions))
    movements = np.stack([np.diff(positions)[known], np.zeros(known.sum())], axis=1)
    bound = movement_accuracy(movements, held_out.actions[known])
    return Playability(
        action_accuracy=SampleMean(accuracy, held_out.actions.size),
        movement_accuracy=SampleMean(bound, len(movements)),
        share_of_bound=SampleMean(accuracy / bound, held_out.actions.size),
        meanings={action + 1: MEANINGS[meaning] for action, meaning in meanings.items()},
        laws=laws,
        generated=measure(playfield, laws, reach, read),
        true=measure(playfield, laws, reach, read_of_true),
        foresight=foresee(simulator, dataset, held_out, playfield, config, device),
        generated_physics=measure_physics(playfield, ball_laws, read),
        true_physics=measure_physics(playfield, ball_laws, read_of_true),
        curves=Curves.of(read),
        generated_frames=num_frames,
        true_frames=held_out.frames.shape[1] - 1,
    )


def _play(
    simulator: Simulator, dataset: VideoDataset, actions: Sequence[int], num_games: int, num_frames: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Play a `random_script` from random held-out frames; return frames uint8 (G, T, H, W, 3), and the script."""
    random = np.random.default_rng(seed)
    rows = random.choice(dataset.num_frames, num_games, replace=num_games > dataset.num_frames)
    stacks = dataset[[dataset.sequence_at(int(row), 1) for row in rows]].frames
    script = random_script(random, actions, num_games, num_frames)
    return play_games(simulator, stacks, script), script


def true_meanings(movements: np.ndarray, actions: np.ndarray) -> dict[int, int]:
    """Return the meaning of each true action, from the movements (G, T-1) and actions (G, T-1) of steps.

    Raises:
        UserError: no action moves the paddle left, or none right.
    """
    means = {int(action): float(np.nanmean(movements[actions == action])) for action in np.unique(actions)}
    largest = max(map(abs, means.values()))
    meanings = {action: int(np.sign(mean)) if abs(mean) > largest / 2 else STAY for action, mean in means.items()}
    if not {LEFT, RIGHT} <= set(meanings.values()):
        raise UserError(
            "the true actions of the held-out videos do not move the paddle both left and right, so that nothing tells "
            "what the learned ones should do; record more or other videos"
        )
    return meanings


def learned_meanings(held_out: HeldOut, meanings_of_true: dict[int, int], actions_count: int) -> dict[int, int]:
    """Return the meaning of each learned action that has a match among the true ones."""
    matches = match_actions(_confusion(held_out, actions_count))
    true = np.unique(held_out.actions)
    return {action: meanings_of_true[int(true[column])] for action, column in matches.items()}


def _translate(actions: np.ndarray, meanings: dict[int, int]) -> np.ndarray:
    """Return the meanings of actions, in an array of the same shape."""
    return np.vectorize(meanings.__getitem__, otypes=[np.int64])(actions)


def _confusion(held_out: HeldOut, actions_count: int) -> np.ndarray:
    return confusion_matrix(held_out.inferred.ravel(), held_out.actions.ravel(), actions_count)


def table(playability: Playability) -> str:
    """Return the figures as text: of whole sequences, of the ball by distance from true frames, and over time."""
    lines = [
        f"{'':20} {'generated':>10} {'true':>10} {'samples':>9}",
        *_compared_lines(playability.generated, playability.true),
        *_compared_lines(playability.generated_physics, playability.true_physics),
    ]
    meanings = ", ".join(f"{key} {meaning}" for key, meaning in playability.meanings.items())
    lines += [
        f"action accuracy {playability.action_accuracy}, {playability.share_of_bound} of what true movement gives "
        f"({playability.movement_accuracy}), {playability.action_accuracy.samples} steps",
        f"keys: {meanings}; {playability.generated_frames} frames a generated sequence, {playability.true_frames} a "
        "true one",
        "",
        *_foresight_lines(playability.foresight),
        "",
        *_curve_lines(playability.curves),
    ]
    return "\n".join(lines)


def _compared_lines(generated: Measures | Physics, true: Measures | Physics) -> list[str]:
    """Return a line per figure: generated, true, and the number of samples of the generated one."""
    lines = []
    for name in (field.name for field in fields(generated)):
        figure = getattr(generated, name)
        lines.append(f"{_title(name):20} {figure!s:>10} {getattr(true, name)!s:>10} {figure.samples:9}")
    return lines


def _foresight_lines(foresight: Foresight) -> list[str]:
    """Return a line of the ball's figures per distance from true frames."""
    names = [field.name for field in fields(Drawn)]
    lines = [" ".join([f"{'where the ball moves':20}", *(f"{_title(name):>17}" for name in names), "  samples"])]
    rows = {"one step ahead": foresight.one_step}
    rows |= {f"own frame {number}": drawn for number, drawn in foresight.own.items()}
    for title, drawn in rows.items():
        figures = (f"{getattr(drawn, name)!s:>17}" for name in names)
        lines.append(" ".join([f"{title:20}", *figures, f"{drawn.ball.samples:9}"]))
    return lines


def _curve_lines(curves: Curves) -> list[str]:
    """Return a line of the generated frames' figures per window of time."""
    first_frames, *columns = (getattr(curves, field.name) for field in fields(Curves))
    titles = (f"{_title(field.name):>16}" for field in fields(Curves)[1:])
    lines = [" ".join([f"{'from frame':>10}", *titles])]
    for first_frame, *values in zip(first_frames, *columns, strict=True):
        cells = ("-" if value is None else f"{value:.3f}" for value in values)
        lines.append(" ".join([f"{first_frame:10}", *(f"{cell:>16}" for cell in cells)]))
    return lines


def _title(name: str) -> str:
    return name.replace("_", " ")
