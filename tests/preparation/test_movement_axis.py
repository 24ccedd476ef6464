"""The axis along which what is played moves, and what training does with it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dataset.annotations import Annotations
from dataset.batching import Batch, evaluation_keys
from dataset.open import find_videos, open_split
from dataset.video import Video, write_video
from model.build import build_model
from model.noise import NoNoise
from preparation.movement_axis import MovementAxis, axis_of, movement_axis
from preparation.moving_regions import pairs_of_frames
from tests.synthetic import SIDE, square_configuration, write_square_videos
from training.losses import motion_alignment_loss
from utils.configuration import Configuration


@pytest.mark.parametrize(
    ("way", "angle"), [((1, 0), 0), ((0, 1), 90), ((3, 1), 45), ((1, 3), 45), ((2, -1), -45), ((-1, 2), 135)]
)
def test_the_angle_of_movements_along_a_line(way: tuple[float, float], angle: int) -> None:
    steps = torch.randn(500, generator=torch.Generator().manual_seed(0))[:, None]
    noise = 0.05 * torch.randn(500, 2, generator=torch.Generator().manual_seed(1))
    assert axis_of(steps * torch.tensor(way) + noise) == MovementAxis(angle, goes_all_ways=False)


def test_what_moves_along_both_axes_goes_all_ways() -> None:
    movements = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    assert axis_of(movements * torch.tensor([2, 1])).goes_all_ways
    assert not axis_of(movements * torch.tensor([5, 1])).goes_all_ways


def test_what_stands_still_has_the_angle_of_the_first_axis() -> None:
    assert axis_of(torch.zeros(10, 2)) == MovementAxis(0, goes_all_ways=False)


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders with data of squares that move sideways, and of the same turned by a quarter."""
    folders = {way: tmp_path_factory.mktemp(way) for way in ("sideways", "up_and_down")}
    write_square_videos(folders["sideways"] / "data", {"train": 24, "val": 6}, length=24)
    for split in ("train", "val"):
        for path in sorted((folders["sideways"] / "data" / split).iterdir()):
            video = Video(path)
            frames = [np.asarray(video.frame(index)).swapaxes(0, 1) for index in range(video.num_frames)]
            known = video.annotations
            annotations = Annotations(known.actions, known.rewards, known.metadata, known.dones)
            write_video(folders["up_and_down"] / "data" / split / path.name, frames, annotations)
    return folders


@pytest.mark.parametrize(("way", "angle"), [("sideways", 0), ("up_and_down", 90)])
@pytest.mark.parametrize("box", [None, [0, 0, SIDE, SIDE - 8]])
def test_the_angle_is_seen_in_the_footage(
    squares: dict[str, Path], way: str, angle: int, box: list[int] | None
) -> None:
    videos = [Video(path) for path in find_videos(square_configuration(squares[way]).data, "train")]
    assert movement_axis(*pairs_of_frames(videos, stride=1), box, of_camera=False) == MovementAxis(angle)


def accuracy(folder: Path, angle: int, num_steps: int) -> float:
    """The share of held-out steps whose true action is found after directions followed movement for some steps."""
    config = square_configuration(
        folder,
        "model.action_network.initial_classifier_spread=2",
        f"model.action_network.initial_classifier_angle={angle}",
    )
    torch.manual_seed(0)
    model = build_model(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    true, held_out = (sequences(config, split) for split in ("train", "val"))
    frames, actions = true.observations().split(6), held_out.actions[:, :-1]
    for number in range(num_steps):
        seen = frames[number % len(frames)]
        directions = model.infer_actions(seen, NoNoise()).directions.mean
        optimizer.zero_grad()
        motion_alignment_loss(directions, seen).backward()
        optimizer.step()
    with torch.no_grad():
        inferred = model.infer_actions(held_out.observations(), NoNoise())
    return float((inferred.most_probable == actions).float().mean())


def sequences(config: Configuration, split: str) -> Batch:
    """Every fifth sequence of a split."""
    data = open_split(config, split, config.training.batching)
    return Batch.of(data[evaluation_keys(data, 5)[::5]])


def test_actions_that_move_up_and_down_are_found_as_soon_as_sideways_ones(squares: dict[str, Path]) -> None:
    for way, angle in (("sideways", 0), ("up_and_down", 90)):
        assert accuracy(squares[way], angle, num_steps=90) > 0.95
