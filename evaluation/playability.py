"""How well a trained Breakout model can be played: does the paddle obey, and does the game around it stay whole?

python -m evaluation.playability --config configs/00_breakout_demo.yaml

Random actions, each held for one to four steps, are played from held-out frames. What is measured of the generated
frames is measured of true ones too, which shows how far each figure can be trusted. The data set's true actions and
the frames themselves say what the paddle does in the game; nothing is set by hand for one frame size:

- *What an action means*: a true action means left or right if the paddle moves that way by more than half the largest
  mean movement of an action, else stay. A learned action means what its best one-to-one match means, given the actions
  that the model infers from true steps.
- *Obeyed*: the paddle moves the way it is pressed, further than it slides on after a release; the limit is halfway
  between the true slides and the shortest true move. It stays if it moves no further than that, or, when it was told
  to stay at the step before too, halfway between how far it then moves in truth and the shortest true move. Presses
  at a wall, and towards a wall that is nearer than the shortest true move, are not counted. Where the paddle is not
  found before or after a step, the step counts as disobeyed.
- *Leaves the wall*: a paddle at a wall, pressed away from it for two steps (for one the game itself may hold it back),
  has then moved further than it slides on after a release.

Dimensions: G sequences or games, T frames of each, K learned actions, H x W pixels.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from benchmarks.report import measurement_parser, write_report
from dataset.batching import evaluation_keys, in_batches, make_loader
from dataset.splits import find_videos
from dataset.starting_frames import SPLITS
from dataset.video_dataset import VideoDataset
from evaluation.metrics.action_accuracy import confusion_matrix, hungarian_accuracy, movement_accuracy
from evaluation.movement.breakout import TOLERANCE, Playfield, is_black
from model.caddy import most_probable_actions
from playing.simulator import Simulator, checkpoint_path, digest, load_simulator, play_games
from training.run import open_split
from utils.command import UserError, non_negative_int, positive_int, run_command
from utils.configuration import Configuration, load_configuration
from utils.device import select_device

NUM_SEQUENCES = 40
LONGEST_SEQUENCE = 100
"""How many held-out sequences are taken for truth, and of how many frames at most."""

LONGEST_HOLD = 4
"""Steps for which an action is held at most."""

EXTREME = 0.99
"""The quantile that stands for the largest of true distances, and one minus which for the smallest: a single odd frame
does not set it."""

NEAR_WALL = 1
"""Pixels from its outermost positions in which the paddle may have been stopped by a wall."""

LONGEST_ABSENCE = 10
"""Frames for which a ball may be out of sight, among bricks or while it is served, and still be in play."""

STAY, LEFT, RIGHT = 0, -1, 1
MEANINGS = {STAY: "stay", LEFT: "left", RIGHT: "right"}
"""What an action can mean; the number is the sign of the movement."""


@dataclass(frozen=True)
class Figure:
    """A measured mean, and the number of samples behind it."""

    value: float | None  # None without samples
    samples: int

    @classmethod
    def of(cls, values: np.ndarray) -> "Figure":
        """The mean of those numbers that are not NaN."""
        known = values[~np.isnan(values)]
        return cls(float(np.mean(known)) if known.size else None, known.size)

    def __str__(self) -> str:
        return "-" if self.value is None else f"{self.value:.3f}"


@dataclass(frozen=True)
class HeldOut:
    """True play and what the model makes of its actions."""

    frames: np.ndarray  # uint8 (G, T, H, W, 3)
    actions: np.ndarray  # (G, T-1) true actions
    inferred: np.ndarray  # (G, T-1) learned actions, 0 to K - 1


@dataclass(frozen=True)
class PaddleLaws:
    """How the paddle moves in true play, in pixels."""

    leftmost: float
    rightmost: float
    shortest_move: float
    """By a press that neither begins nor ends at a wall."""
    longest_slide: float
    """During a step of staying that follows a press."""
    longest_rest: float
    """During a step of staying that follows one."""

    @classmethod
    def of(cls, positions: np.ndarray, pressed: np.ndarray) -> "PaddleLaws":
        """Read the laws off true play.

        Args:
            positions: (G, T) x of the paddle, NaN where it is not found.
            pressed: (G, T-1) what each step's action means: -1, 0 or 1.
        """
        distances = np.abs(np.diff(positions))
        leftmost, rightmost = float(np.nanmin(positions)), float(np.nanmax(positions))
        is_at_wall = (positions <= leftmost + NEAR_WALL) | (positions >= rightmost - NEAR_WALL)
        is_free = ~is_at_wall[:, :-1] & ~is_at_wall[:, 1:]
        stays, follows_press = pressed == STAY, _follows_press(pressed)
        return cls(
            leftmost,
            rightmost,
            shortest_move=_quantile(distances[~stays & is_free], 1 - EXTREME),
            longest_slide=_quantile(distances[stays & follows_press], EXTREME),
            longest_rest=_quantile(distances[stays & ~follows_press], EXTREME),
        )

    def obeyed(self, positions: np.ndarray, pressed: np.ndarray) -> np.ndarray:
        """Whether each step does what is pressed: float (G, T-1), NaN for presses at or too near a wall."""
        movements = np.diff(positions)
        before = positions[:, :-1]
        room_left, room_right = before - self.leftmost, self.rightmost - before
        room = np.where(pressed == LEFT, room_left, room_right)
        is_at_wall = np.minimum(room_left, room_right) <= NEAR_WALL
        resting = (self.longest_rest + self.shortest_move) / 2
        limits = np.where(_follows_press(pressed), self._visible_move, resting)
        obeyed = np.where(pressed == STAY, np.abs(movements) <= limits, movements * pressed > self._visible_move)
        return np.where((pressed != STAY) & (is_at_wall | (room < self.shortest_move)), np.nan, obeyed)

    def leaves_wall(self, positions: np.ndarray, pressed: np.ndarray) -> np.ndarray:
        """Whether each press away from a wall at which the paddle is, held for two steps, moves it: float, 1-D."""
        before, after = positions[:, :-2], positions[:, 2:]
        away = (before <= self.leftmost + NEAR_WALL).astype(int) - (before >= self.rightmost - NEAR_WALL)
        is_pressed_away = (away != STAY) & (pressed[:, :-1] == away) & (pressed[:, 1:] == away)
        leaves: np.ndarray = ((after - before) * away > self._visible_move)[is_pressed_away].astype(float)
        return leaves

    @property
    def _visible_move(self) -> float:
        """What a move is longer than, and a slide is not."""
        return (self.longest_slide + self.shortest_move) / 2


@dataclass(frozen=True)
class Measures:
    """What sequences of frames show, generated or true. Shares lie in [0, 1]."""

    pressed_way: Figure
    """Share of the steps that obey."""
    stay: Figure
    left: Figure
    right: Figure
    """The same of the steps with each meaning."""
    leaves_wall: Figure
    """Share of the presses away from a wall, held for two steps, that move the paddle."""
    pressed_way_in_sight: Figure
    """Share of the steps that obey, of those before and after which the paddle is found."""
    drift: Figure
    """Mean pixels that the paddle moves while it is told to stay for the second step or longer."""
    paddle_found: Figure
    """Share of the frames that show the paddle."""
    walls_difference: Figure
    """Mean absolute difference of wall pixels from the true ones, in 0..255, over frames."""
    bricks_intact: Figure
    """Share of brick pixels that are as in the sequence's first frame, or black and remain so, over frames."""
    bricks_gone: Figure
    """Share of brick pixels that turn black from a sequence's first frame to its last, over sequences."""
    ball_frames: Figure
    """Frame in which the ball is last seen before it is out of sight for longer than `LONGEST_ABSENCE`, over those
    sequences whose first frame, number 0, shows it."""
    one_ball: Figure
    """Share of the frames with exactly one ball in sight."""
    plausible_bounces: Figure
    """Share of the reversals of the ball's vertical direction that happen where something reverses it: upwards at the
    paddle, downwards not below the bricks. "Where" means within the longest step of the true ball."""


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
    config: Configuration, device: torch.device, num_games: int = 16, num_frames: int = 200, seed: int = 0
) -> Playability:
    """Play a run's latest checkpoint and measure what it generates.

    Args:
        config: the run's configuration.
        device: where to compute.
        num_games: how many games are played, side by side.
        num_frames: how many frames are generated in each.
        seed: of starting frames and actions.

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
            find_videos(config.data.data_root, split, config.data.dataset_splits)
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
    generator = torch.Generator(device).manual_seed(config.training.seed)
    frames, actions, inferred = [], [], []
    for batch in make_loader(dataset, in_batches(keys, batch_size), device=device):
        rollout = simulator.model(
            batch.to(device).observations(),
            length - 1,
            action_sampler=most_probable_actions,
            zero_variations=True,
            generator=generator,
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
    learned, columns = linear_sum_assignment(_confusion(held_out, actions_count), maximize=True)
    true = np.unique(held_out.actions)[columns]
    return {int(action): meanings_of_true[int(match)] for action, match in zip(learned, true, strict=True)}


def random_script(random: np.random.Generator, actions: Sequence[int], num_games: int, num_frames: int) -> np.ndarray:
    """Actions drawn evenly, each held for 1 to `LONGEST_HOLD` steps: (`num_games`, `num_frames`)."""
    games = []
    for _ in range(num_games):
        holds = random.integers(1, LONGEST_HOLD, num_frames, endpoint=True)
        games.append(np.repeat(random.choice(actions, num_frames), holds)[:num_frames])
    return np.stack(games)


def find_paddles(playfield: Playfield, frames: np.ndarray) -> np.ndarray:
    """The x of the paddle in frames (G, T, H, W, 3): (G, T), NaN where it is not found."""
    return np.stack([playfield.paddle(sequence) for sequence in frames])


def measure(playfield: Playfield, laws: PaddleLaws, reach: float, frames: np.ndarray, pressed: np.ndarray) -> Measures:
    """Measure sequences of frames.

    Args:
        playfield: what stands where in true frames.
        laws: how the true paddle moves.
        reach: pixels that the true ball moves up or down in a step at most, see `ball_reach`.
        frames: uint8 (G, T, H, W, 3); of the first of each sequence nothing is measured, it serves to compare with.
        pressed: (G, T-1) what the actions mean: -1, 0 or 1.
    """
    positions = find_paddles(playfield, frames)
    obeyed = laws.obeyed(positions, pressed)
    by_meaning = {name: Figure.of(obeyed[pressed == meaning]) for meaning, name in MEANINGS.items()}
    rests = (pressed == STAY) & ~_follows_press(pressed)
    balls = [measure_ball(playfield, reach, *pair) for pair in zip(frames, positions, strict=True)]
    return Measures(
        pressed_way=Figure.of(obeyed),
        **by_meaning,
        leaves_wall=Figure.of(laws.leaves_wall(positions, pressed)),
        pressed_way_in_sight=Figure.of(obeyed[np.isfinite(np.diff(positions))]),
        drift=Figure.of(np.abs(np.diff(positions)[rests])),
        paddle_found=Figure.of(np.isfinite(positions[:, 1:])),
        walls_difference=Figure.of(walls_difference(playfield, frames[:, 1:])),
        bricks_intact=Figure.of(np.stack([bricks_intact(playfield, sequence) for sequence in frames])),
        bricks_gone=Figure.of(np.array([bricks_gone(playfield, sequence) for sequence in frames])),
        ball_frames=Figure.of(np.array([ball.last_seen for ball in balls])),
        one_ball=Figure.of(np.concatenate([ball.is_single for ball in balls])),
        plausible_bounces=Figure.of(np.concatenate([ball.bounces for ball in balls])),
    )


def walls_difference(playfield: Playfield, frames: np.ndarray) -> np.ndarray:
    """The mean absolute difference of wall pixels from the true ones, in 0..255, in frames (G, T, H, W, 3): (G, T)."""
    true = playfield.picture[playfield.walls].astype(np.int16)
    differences = np.abs(frames[:, :, playfield.walls] - true)
    mean: np.ndarray = differences.mean(axis=(2, 3))
    return mean


def bricks_intact(playfield: Playfield, frames: np.ndarray) -> np.ndarray:
    """The share of brick pixels that are whole or gone in the frames (T, H, W, 3) of a sequence: (T-1,).

    Whole is as in the first frame, to `TOLERANCE`; gone is black, as then they have to remain.
    """
    bricks = frames[:, playfield.bricks].astype(np.int16)  # (T, pixels, 3)
    is_gone = is_black(bricks)
    was_gone = np.logical_or.accumulate(is_gone)[:-1]
    is_whole = (np.abs(bricks - bricks[0]) <= TOLERANCE).all(axis=-1)
    share: np.ndarray = (is_gone[1:] | (is_whole[1:] & ~was_gone)).mean(axis=1)
    return share


def bricks_gone(playfield: Playfield, frames: np.ndarray) -> float:
    """The share of brick pixels that are black in the last of the frames (T, H, W, 3), of those that are not at first.

    0 if all were black from the start.
    """
    first, last = is_black(frames[[0, -1]][:, playfield.bricks])
    return float(last[~first].mean()) if not first.all() else 0.0


@dataclass(frozen=True)
class BallInPlay:
    """What becomes of the ball in one sequence of T frames."""

    last_seen: float
    """The frame before it is out of sight for longer than `LONGEST_ABSENCE`; NaN if the first frame does not show it.
    """
    is_single: np.ndarray
    """bool (T-1,): whether exactly one ball is in sight."""
    bounces: np.ndarray
    """bool: whether each reversal of its vertical direction is plausible."""


def measure_ball(playfield: Playfield, reach: float, frames: np.ndarray, positions: np.ndarray) -> BallInPlay:
    """Follow the ball through the frames (T, H, W, 3) of a sequence, in which the paddle has some positions (T,)."""
    balls = playfield.find_balls(frames)
    seen = np.flatnonzero(balls.count)
    gaps = np.flatnonzero(np.diff(seen) > LONGEST_ABSENCE + 1)
    last_seen = float(seen[gaps[0] if len(gaps) else -1]) if balls.count[0] else np.nan
    bounces = np.array(_bounces(playfield, reach, balls.x, balls.y, positions), np.bool_)
    return BallInPlay(last_seen, balls.count[1:] == 1, bounces)


def _bounces(playfield: Playfield, reach: float, x: np.ndarray, y: np.ndarray, positions: np.ndarray) -> list[bool]:
    """Whether each reversal of a ball's vertical direction is plausible."""
    bounces = []
    last_direction = 0.0
    for frame in np.flatnonzero(np.isfinite(np.diff(y)) & (np.diff(y) != 0)):
        direction = np.sign(y[frame + 1] - y[frame])
        if last_direction > 0 > direction:
            is_low = y[frame : frame + 2].max() >= playfield.paddle.top - reach
            distance = np.abs(x[frame : frame + 2] - positions[frame : frame + 2]).min()
            bounces.append(bool(is_low and distance <= playfield.paddle.width / 2 + reach))
        elif last_direction < 0 < direction:
            bounces.append(bool(y[frame : frame + 2].min() <= playfield.lowest_brick + reach))
        last_direction = direction
    return bounces


def ball_reach(playfield: Playfield, frames: np.ndarray) -> float:
    """The pixels that the ball moves up or down in a step at most, in true frames (G, T, H, W, 3)."""
    heights = np.stack([playfield.find_balls(sequence).y for sequence in frames])
    return _quantile(np.abs(np.diff(heights)), EXTREME)


def _follows_press(pressed: np.ndarray) -> np.ndarray:
    """bool (G, T-1): whether the step before was no stay. What was before the first step is unknown: it may have."""
    return np.concatenate([np.ones((len(pressed), 1), np.bool_), pressed[:, :-1] != STAY], axis=1)


def _translate(actions: np.ndarray, meanings: dict[int, int]) -> np.ndarray:
    """What actions mean, in an array of the same shape."""
    return np.vectorize(meanings.__getitem__, otypes=[np.int64])(actions)


def _confusion(held_out: HeldOut, actions_count: int) -> np.ndarray:
    return confusion_matrix(held_out.inferred.ravel(), held_out.actions.ravel(), actions_count)


def _quantile(values: np.ndarray, share: float) -> float:
    """A quantile of what is not NaN; 0 if nothing is left."""
    known = values[~np.isnan(values)]
    return float(np.quantile(known, share)) if len(known) else 0.0


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
    add("--seed", type=non_negative_int, default=0, help="of starting frames and actions (default: 0)")
    arguments = parser.parse_args()
    config = load_configuration(arguments.config, arguments.overrides)
    device = select_device(arguments.device)
    playability = measure_playability(config, device, arguments.games, arguments.frames, arguments.seed)
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
