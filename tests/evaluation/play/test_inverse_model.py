import numpy as np
import torch

from evaluation.play.inverse_model import LONGEST_SIDE, reduce_frames, train_inverse_model
from evaluation.play.true_play import Stretch
from tests.evaluation.play.squares import STRIDE, draw

CPU = torch.device("cpu")


def play(seed: int, games: int = 12) -> Stretch:
    random = np.random.default_rng(seed)
    actions = random.integers(0, 3, (games, 16))
    starts = random.integers(0, 8, (games, 1))
    positions = np.concatenate([starts, starts + np.cumsum(actions - 1, axis=1)], axis=1) * STRIDE
    return Stretch(np.stack([[draw(int(x)) for x in row] for row in positions]), actions)


def test_it_reads_actions_off_frames_that_it_has_not_seen() -> None:
    model = train_inverse_model([play(0)], 3, CPU)
    unseen = play(1, games=4)
    read = np.stack([model.read(frames) for frames in unseen.frames])
    assert (read == unseen.actions).mean() > 0.95
    still = unseen.frames[:, :1].repeat(17, axis=1)
    assert (np.stack([model.read(frames) for frames in still]) == 1).mean() > 0.95


def test_training_is_repeatable_and_leaves_the_global_random_state() -> None:
    torch.manual_seed(7)
    first = train_inverse_model([play(0, games=2)], 3, CPU)
    drawn = torch.rand(1)
    second = train_inverse_model([play(0, games=2)], 3, CPU)
    torch.manual_seed(7)
    assert drawn == torch.rand(1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_large_frames_are_reduced() -> None:
    frames = torch.full((2, LONGEST_SIDE + 1, 40, 3), 9, dtype=torch.uint8)
    assert reduce_frames(frames).shape == (2, 3, LONGEST_SIDE // 2 + 1, 20)
    assert (reduce_frames(frames) == 9).all()
    assert reduce_frames(frames[:, :LONGEST_SIDE]).shape == (2, 3, LONGEST_SIDE, 40)
