"""How well a trained Breakout model can be played: does the paddle obey, and does the game around it stay whole?

python -m evaluation.playability --config configs/00_breakout_demo.yaml

Random actions, each held for one to four steps, are played from held-out frames. What is measured of the generated
frames is measured of true ones too, which shows how far each figure can be trusted. A true action means left or right
if the paddle moves that way by more than half the largest mean movement of an action, else stay. A learned action means
what its best one-to-one match means, given the actions that the model infers from true steps.

Dimensions: G sequences or games, T frames of each, K learned actions, H x W pixels.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch

from benchmarks.report import measurement_parser, writable_file, write_report
from dataset.batching import evaluation_keys, in_batches, make_loader
from dataset.splits import find_videos
from dataset.starting_frames import SPLITS
from dataset.video_dataset import VideoDataset
from evaluation.metrics.action_accuracy import confusion_matrix, hungarian_accuracy, match_actions, movement_accuracy
from evaluation.metrics.breakout_play import (
    LEFT,
    MEANINGS,
    RIGHT,
    STAY,
    Figure,
    Measures,
    PaddleLaws,
    ball_reach,
    find_paddles,
    measure,
)
from evaluation.movement.breakout import Playfield
from model.noise import Noise
from model.playable import most_probable_actions
from playing.simulator import Simulator, checkpoint_path, digest, load_simulator, play_games
from training.run import open_split
from utils.command import UserError, non_negative_int, positive_int, run_command
from utils.configuration import Configuration, load_configuration
from utils.device import select_device
from utils.images import enlarge, labelled, save_animation, tile

NUM_SEQUENCES = 40
LONGEST_SEQUENCE = 100
"""How many held-out sequences are taken for truth, and of how many frames at most."""

LONGEST_HOLD = 4
"""Steps for which an action is held at most."""

ANIMATED_GAMES, ANIMATED_FRAMES = 4, 40
"""How many of the games an animation shows side by side, and of how many frames."""

ANIMATION_HEIGHT = 192
FRAME_MILLISECONDS = 130
"""Pixels of an animation, and the time that it shows each frame."""


@dataclass(frozen=True)
class HeldOut:
    """True play and what the model makes of its actions."""

    frames: np.ndarray  # uint8 (G, T, H, W, 3)
    actions: np.ndarray  # (G, T-1) true actions
    inferred: np.ndarray  # (G, T-1) learned actions, 0 to K - 1


@dataclass(frozen=True)
class Playability:
    """How well a model can be played."""

    action_accuracy: Figure
    """Share of held-out steps whose inferred action is the true one, under the best one-to-one match."""
    movement_accuracy: Figure
    """The same of actions read off the true movement of the paddle: the bound."""
    share_of_bound: Figure
    meanings: dict[int, str]
    """What each learned action means, by its key: from 1."""
    laws: PaddleLaws
    generated: Measures
    true: Measures
    generated_frames: int
    true_frames: int
    """Frames of each sequence, without the first."""


def measure_playability(
    config: Configuration,
    device: torch.device,
    num_games: int = 16,
    num_frames: int = 200,
    seed: int = 0,
    animation: Path | None = None,
) -> Playability:
    """Play a run's latest checkpoint and measure what it generates.

    Args:
        config: the run's configuration.
        device: where to compute.
        num_games: how many games are played, side by side.
        num_frames: how many frames are generated in each.
        seed: of starting frames and actions.
        animation: a file for a GIF of the first games, with the actions drawn in.

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
    random = np.random.default_rng(seed)
    rows = random.choice(dataset.num_frames, num_games, replace=num_games > dataset.num_frames)
    stacks = dataset[[dataset.sequence_at(int(row), 1) for row in rows]].frames
    script = random_script(random, list(meanings), num_games, num_frames)
    generated = play_games(simulator, stacks, script)
    if animation:
        save_animation(animation, animated(generated, script), FRAME_MILLISECONDS)

    reach = ball_reach(playfield, held_out.frames)
    accuracy = hungarian_accuracy(_confusion(held_out, simulator.actions_count))
    known = np.isfinite(np.diff(positions))
    movements = np.stack([np.diff(positions)[known], np.zeros(known.sum())], axis=1)
    bound = movement_accuracy(movements, held_out.actions[known])
    return Playability(
        action_accuracy=Figure(accuracy, held_out.actions.size),
        movement_accuracy=Figure(bound, len(movements)),
        share_of_bound=Figure(accuracy / bound, held_out.actions.size),
        meanings={action + 1: MEANINGS[meaning] for action, meaning in meanings.items()},
        laws=laws,
        generated=measure(playfield, laws, reach, generated, _translate(script, meanings)),
        true=measure(playfield, laws, reach, held_out.frames, pressed_in_truth),
        generated_frames=num_frames,
        true_frames=held_out.frames.shape[1] - 1,
    )


def open_held_out(config: Configuration) -> VideoDataset:
    """The test split, or the validation split where there is none. `UserError` if its actions are unknown."""
    for split in SPLITS[:-1]:
        try:
            find_videos(config.data.data_root, split, config.data.dataset_splits, config.data.shard_directory)
        except UserError:
            continue
        break
    else:
        split = SPLITS[-1]
    batching = config.evaluation.batching.model_copy(update={"observations_count": 2})
    dataset = open_split(config, split, batching)
    if not dataset.knows_actions:
        raise UserError(
            f"{config.data.data_root}: the videos of the split '{split}' have no true actions, by which playability "
            "is measured; annotate them, or let data.data_root name a recording that has them"
        )
    return dataset


@torch.inference_mode()
def infer_held_out(simulator: Simulator, dataset: VideoDataset, config: Configuration, device: torch.device) -> HeldOut:
    """Take sequences spread evenly over a data set, and infer their actions as the evaluation during training does."""
    lengths = [(video.num_frames - 1) // dataset.stride + 1 for video in dataset.videos]
    length = max(2, min(LONGEST_SEQUENCE, int(np.median(lengths))))
    keys = evaluation_keys(dataset, length, NUM_SEQUENCES)
    batching = config.evaluation.batching
    batch_size = max(1, batching.batch_size * batching.observations_count // length)  # of frames as many as there
    noise = Noise(torch.Generator(device).manual_seed(config.training.seed))
    frames, actions, inferred = [], [], []
    for batch in make_loader(dataset, in_batches(keys, batch_size), device=device):
        rollout = simulator.model(
            batch.to(device).observations(),
            length - 1,
            action_sampler=most_probable_actions,
            zero_variations=True,
            noise=noise,
        )
        frames.append(batch.frames[:, dataset.observation_stacking - 1 :].movedim(2, -1).numpy())
        actions.append(batch.actions[:, :-1].numpy())
        inferred.append(rollout.actions.argmax(dim=-1).cpu().numpy())
    return HeldOut(np.concatenate(frames), np.concatenate(actions), np.concatenate(inferred))


def true_meanings(movements: np.ndarray, actions: np.ndarray) -> dict[int, int]:
    """What each true action means, given the movements (G, T-1) during steps with some actions (G, T-1).

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
    """What each learned action means that has a match among the true ones."""
    matches = match_actions(_confusion(held_out, actions_count))
    true = np.unique(held_out.actions)
    return {action: meanings_of_true[int(true[column])] for action, column in matches.items()}


def random_script(random: np.random.Generator, actions: Sequence[int], num_games: int, num_frames: int) -> np.ndarray:
    """Actions drawn evenly, each held for 1 to `LONGEST_HOLD` steps: (`num_games`, `num_frames`)."""
    games = []
    for _ in range(num_games):
        holds = random.integers(1, LONGEST_HOLD, num_frames, endpoint=True)
        games.append(np.repeat(random.choice(actions, num_frames), holds)[:num_frames])
    return np.stack(games)


def animated(frames: np.ndarray, script: np.ndarray) -> np.ndarray:
    """Some games side by side, enlarged, with the number of the action that led to each frame drawn in.

    Args:
        frames: uint8 (G, T, H, W, 3).
        script: (G, T-1) actions from 0 to K - 1.

    Returns:
        uint8 (frames, height, width, 3).
    """
    frames = frames[:ANIMATED_GAMES, 1 : 1 + ANIMATED_FRAMES]
    large = enlarge(frames, max(1, ANIMATION_HEIGHT // frames.shape[2]))
    steps = zip(large.swapaxes(0, 1), script.T, strict=False)
    pages = []
    for step, actions in steps:
        row = [labelled(frame, str(action + 1)) for frame, action in zip(step, actions, strict=False)]
        pages.append(tile(np.array([row])))
    return np.stack(pages)


def _translate(actions: np.ndarray, meanings: dict[int, int]) -> np.ndarray:
    """What actions mean, in an array of the same shape."""
    return np.vectorize(meanings.__getitem__, otypes=[np.int64])(actions)


def _confusion(held_out: HeldOut, actions_count: int) -> np.ndarray:
    return confusion_matrix(held_out.inferred.ravel(), held_out.actions.ravel(), actions_count)


def table(playability: Playability) -> str:
    """The figures, one a line: generated, true, and the number of samples behind the former."""
    lines = [f"{'':20} {'generated':>10} {'true':>10} {'samples':>9}"]
    for field in fields(Measures):
        generated, true = getattr(playability.generated, field.name), getattr(playability.true, field.name)
        name = field.name.replace("_", " ")
        lines.append(f"{name:20} {generated!s:>10} {true!s:>10} {generated.samples:9}")
    meanings = ", ".join(f"{key} {meaning}" for key, meaning in playability.meanings.items())
    lines += [
        f"action accuracy {playability.action_accuracy}, {playability.share_of_bound} of what true movement gives "
        f"({playability.movement_accuracy}), {playability.action_accuracy.samples} steps",
        f"keys: {meanings}; {playability.generated_frames} frames a generated sequence, {playability.true_frames} a "
        "true one",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run the command."""
    parser = measurement_parser(
        "Measure how well a trained Breakout model can be played: plays random actions from held-out frames. Needs the "
        "checkpoint of the run and its data set with true actions.",
        "python -m evaluation.playability --config configs/00_breakout_demo.yaml",
    )
    add = parser.add_argument
    add("--games", type=positive_int, default=16, metavar="N", help="games played side by side (default: 16)")
    add("--frames", type=positive_int, default=200, metavar="N", help="frames generated in each (default: 200)")
    add(
        "--animation",
        type=writable_file,
        metavar="FILE",
        help="also write a GIF of the first games, with the actions drawn in",
    )
    add("--seed", type=non_negative_int, default=0, help="of starting frames and actions (default: 0)")
    arguments = parser.parse_args()
    config = load_configuration(arguments.config, arguments.overrides)
    device = select_device(arguments.device)
    playability = measure_playability(
        config, device, arguments.games, arguments.frames, arguments.seed, arguments.animation
    )
    print(table(playability))
    results = {
        "run_name": config.logging.run_name,
        "checkpoint_sha256": digest(checkpoint_path(config)),
        "seed": arguments.seed,
        **asdict(playability),
    }
    print(f"written to {write_report('playability', arguments.config, results, device, arguments.json)}")


if __name__ == "__main__":
    run_command(main)
