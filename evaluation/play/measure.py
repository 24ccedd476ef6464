"""How well a trained model plays, of any footage, without true actions.

Games are played from held-out frames: once with random presses, each held for one to four steps, and once with the
actions that the model infers from the true sequences that begin there. The same is measured of true play.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.video_dataset import VideoDataset
from evaluation.play.branches import NUM_STARTS, NUM_STEPS, Branches, branch
from evaluation.play.figures import PlayFigures, actions_of, figures_of
from evaluation.play.games import ANIMATED_FRAMES, animated, generate, random_script, true_script
from evaluation.play.inverse_model import InverseModel, train_inverse_model
from evaluation.play.readings import Readings
from evaluation.play.scene import Scene, SceneObserver
from evaluation.play.true_play import Stretch, TruePlay, each_group, longest_length, open_held_out, open_training_videos
from playing.simulator import Simulator
from utils.configuration import Configuration
from utils.images import save_animation

NUM_SEQUENCES, LONGEST_SEQUENCE = 40, 101
"""Number of held-out sequences, at most, that are the truth, and of the frames of each."""

NUM_LESSONS, LESSON_LENGTH = 240, 17
"""Number of training sequences, at most, that teach the inverse model, and of the frames of each."""

JUMP = 1.5
"""Movements more than this many times as long as the longest true ones are taken for another object's."""

RARE = 0.01
"""Share of the steps of true play below which an action is called rare."""


@dataclass(frozen=True)
class MeasuredPlay:
    """The figures of a model's play, and pictures of it."""

    figures: PlayFigures
    shown: np.ndarray
    """uint8 (K, starts, frames, H, W, 3), see `Branches.shown`."""


def measure_play(
    config: Configuration,
    simulator: Simulator,
    num_games: int = 8,
    num_frames: int = 1000,
    seed: int = 0,
    animation: Path | None = None,
) -> MeasuredPlay:
    """Play a model and measure the generated frames.

    Args:
        config: the run's configuration.
        simulator: its model.
        num_games: number of games of each kind, played side by side; fewer if there are fewer held-out sequences.
        num_frames: number of frames generated in each.
        seed: seed of the presses and of the inverse model.
        animation: file for a GIF of the first games with random presses, with the actions drawn in; None for no GIF.

    Raises:
        UserError: there are no held-out videos.
    """
    studio = _Studio(config, simulator, num_games)
    held_out = open_held_out(config)
    length = longest_length(held_out, LONGEST_SEQUENCE)
    true_play = studio.true_play(held_out, length, min(NUM_SEQUENCES, max(2, held_out.num_frames // length)))
    lessons, true_play, remarks = _lessons(studio, true_play)
    scene, inverse_model = _learn(studio, lessons, true_play, seed)
    parts = each_group(true_play, num_games, "reading true play")
    true = Readings.joined([Readings.of(part, scene, inverse_model) for part in parts], axis=0)

    games = studio.true_play(held_out, length, num_games)
    pressed, replayed = (
        Readings.of(part, scene, inverse_model) for part in _play(simulator, games, num_frames, seed, animation)
    )
    limit = JUMP * true.longest_movement
    pressed, true = pressed.without_jumps(limit), true.without_jumps(limit)
    starts = studio.true_play(held_out, min(length, NUM_STEPS + 1), NUM_STARTS)
    branches = branch(simulator, starts, num_games, seed)

    figures = PlayFigures(
        games=len(games.keys),
        frames=num_frames,
        true_sequences=len(true_play.keys),
        true_frames=true_play.num_steps,
        taught_steps=lessons.actions.size,
        chance=1 / simulator.actions_count,
        still_share=float(scene.still.mean()),
        figures=figures_of(pressed, replayed, true, branches),
        actions=actions_of(pressed, true, simulator.actions_count),
        remarks=remarks + _remarks(scene, lessons, branches, simulator.actions_count),
    )
    return MeasuredPlay(figures, branches.shown)


@dataclass(frozen=True)
class _Studio:
    """The model with the limits of what is held at a time."""

    config: Configuration
    simulator: Simulator
    num_games: int

    def true_play(self, dataset: VideoDataset, length: int, count: int) -> TruePlay:
        """Infer the actions of true sequences, with as many frames at a time as in evaluation."""
        batching = self.config.evaluation.batching
        frames_at_once = batching.batch_size * batching.observations_count
        return TruePlay.of(self.simulator.model, dataset, length, count, frames_at_once)


def _lessons(studio: _Studio, true_play: TruePlay) -> tuple[TruePlay, TruePlay, list[str]]:
    """Return the true play that teaches the inverse model, that which tests it, and remarks."""
    training = open_training_videos(studio.config)
    if training is not None:
        length = longest_length(training, LESSON_LENGTH)
        count = min(NUM_LESSONS, max(2, training.num_frames // length))
        return studio.true_play(training, length, count), true_play, []
    remark = "without training videos, the inverse model learned from the first half of the held-out sequences"
    first, second, *_ = [*true_play.groups(-(-len(true_play.keys) // 2)), true_play]
    return first, second, [remark]


def _learn(studio: _Studio, lessons: TruePlay, true_play: TruePlay, seed: int) -> tuple[Scene, InverseModel]:
    """Learn the scene from all true play, and the inverse model from the lessons."""
    observer = SceneObserver()
    for part in each_group(true_play, studio.num_games, "watching true play"):
        for _ in observer.watch(part):
            pass
    watched = (
        stretch
        for part in each_group(lessons, studio.num_games, "watching training play")
        for stretch in observer.watch(part)
    )
    device = studio.simulator.centroids.device
    inverse_model = train_inverse_model(watched, studio.simulator.actions_count, device, seed)
    return observer.scene(), inverse_model


def _play(
    simulator: Simulator, games: TruePlay, num_frames: int, seed: int, animation: Path | None
) -> Iterator[Iterable[Stretch]]:
    """Yield the games with random presses, which are filmed, and those with the actions of true play."""
    random = np.random.default_rng(seed)
    script = random_script(random, range(simulator.actions_count), len(games.keys), num_frames)
    pressed = generate(simulator, games, script, "playing random presses")
    yield _filmed(pressed, animation) if animation else pressed
    yield generate(simulator, games, true_script(random, games, num_frames), "playing true actions")


def _filmed(stretches: Iterable[Stretch], animation: Path) -> Iterator[Stretch]:
    """Save the first stretch as an animation, and yield all."""
    for index, stretch in enumerate(stretches):
        if index == 0:
            pages = animated(stretch.frames[:, : 1 + ANIMATED_FRAMES], stretch.actions)
            save_animation(animation, pages)
        yield stretch


def _remarks(scene: Scene, lessons: TruePlay, branches: Branches, actions_count: int) -> list[str]:
    """Return what limits the figures."""
    remarks = []
    shares = np.bincount(lessons.actions.ravel(), minlength=actions_count) / lessons.actions.size
    if rare := [str(action + 1) for action in np.flatnonzero(shares < RARE)]:
        remarks.append(
            f"actions inferred in less than {RARE:.0%} of true steps: {', '.join(rare)}; the inverse model hardly "
            "knows what these keys do, but they count like the others"
        )
    if not scene.still.any():
        remarks.append("every pixel changes in some true sequence, so that there is no stillness to be measured")
    if scene.still.all() or not branches.change.any():
        remarks.append("nothing moves in true play")
    return remarks
