import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from dataset.acquisition import export_lerobot
from dataset.acquisition.readers import lerobot
from dataset.acquisition.readers.source import SourceFrame
from dataset.annotations import Annotations
from dataset.video import Video, write_video
from model.action import ActionNetwork
from model.caddy import Caddy
from tests.command import Command
from tests.synthetic import square_configuration, write_configuration, write_square_videos
from utils.checkpoint import LATEST, save_checkpoint
from utils.images import normalize

NUM_VIDEOS = {"train": 2, "val": 1}
VIDEOS = ("train/00000", "train/00001", "val/00000")
LENGTH = 6


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    write_square_videos(tmp_path / "data", NUM_VIDEOS, LENGTH)
    common = ("--data_root", f"{tmp_path}/data", "--output_directory", f"{tmp_path}/out")
    return Command(export_lerobot, tmp_path, monkeypatch, capsys, *common)


@pytest.fixture
def model(tmp_path: Path) -> Caddy:
    """Of a checkpoint that learned nothing, of the run that `square.yaml` configures."""
    config = square_configuration(tmp_path)
    torch.manual_seed(3)
    model = Caddy(config)
    with torch.no_grad():  # lets the action change from step to step
        network = model.action_network[0]
        assert isinstance(network, ActionNetwork)
        network.mean_fc.weight.mul_(100)
        network.final_fc.bias.zero_()
    save_checkpoint(tmp_path / "checkpoints/square" / LATEST, {"model": model.state_dict()})
    write_configuration(tmp_path)
    return model.eval()


def read_back(folder: Path) -> list[list[SourceFrame]]:
    return [list(source.frames()) for source in lerobot.find(folder)]


def exported_actions(folder: Path) -> list[list[int | None]]:
    return [[frame.action for frame in frames] for frames in read_back(folder)]


@torch.inference_mode()
def inferred(model: Caddy, video: Video, stride: int) -> list[int]:
    """The most probable action from each frame to the one `stride` later."""
    frames = np.stack([np.asarray(video.frame(index)) for index in range(video.num_frames)])
    observations = normalize(torch.from_numpy(frames)).movedim(-1, 1).unsqueeze(0)
    network = model.action_network[0]
    assert isinstance(network, ActionNetwork)
    encoding = model.encode(observations)
    means = network(encoding.states, encoding.attention).action_states.mean[0]
    return network.final_fc(means[stride:] - means[:-stride]).argmax(dim=-1).tolist()


def test_true_actions_and_frames_are_read_back(command: Command) -> None:
    code, out, _ = command()
    assert (code, out) == (0, f"3 episodes, 18 frames in {command.folder}/out\n")
    videos = [Video(command.folder / "data" / name) for name in VIDEOS]
    for video, frames in zip(videos, read_back(command.folder / "out"), strict=True):
        assert [frame.action for frame in frames] == video.annotations.actions
        assert len(frames) == video.num_frames
        for index, frame in enumerate(frames):
            assert np.abs(frame.pixels.astype(int) - np.asarray(video.frame(index))).mean() < 3


def test_tables_hold_what_lerobot_expects(command: Command) -> None:
    command("--fps", "5")
    out = command.folder / "out"
    info = json.loads((out / "meta/info.json").read_text())
    assert (info["codebase_version"], info["fps"], info["total_episodes"], info["total_frames"]) == ("v3.0", 5, 3, 18)
    assert info["splits"] == {"train": "0:2", "val": "2:3"}
    assert info["video_path"] == "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    assert info["features"]["observation.image"]["shape"] == [32, 32, 3]
    assert info["features"]["action"] == {"dtype": "int64", "shape": [1], "names": ["true_action"]}

    rows = pq.read_table(out / "data/chunk-000/file-001.parquet").to_pydict()
    assert rows.keys() == info["features"].keys() - {"observation.image"}
    assert rows["index"] == list(range(6, 12))
    assert rows["episode_index"] == [1] * 6
    assert rows["timestamp"] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    episodes = pq.read_table(out / "meta/episodes/chunk-000/file-000.parquet").to_pydict()
    assert (episodes["dataset_from_index"], episodes["dataset_to_index"]) == ([0, 6, 12], [6, 12, 18])
    assert episodes["videos/observation.image/to_timestamp"] == pytest.approx([1.2] * 3)
    tasks = pq.read_table(out / "meta/tasks.parquet")
    assert tasks.to_pydict() == {"task_index": [0], "task": ["play"]}
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]


def test_rewards_and_ends_of_games(command: Command) -> None:
    shutil.rmtree(command.folder / "data")
    frames = [np.zeros((16, 16, 3), np.uint8)] * 3
    annotations = Video(write_square(command.folder)).annotations
    annotations.rewards, annotations.dones = [0.5, -1.0, 0.0], [False, True, False]
    write_video(command.folder / "data/train/00000", frames, annotations)
    command()
    rows = pq.read_table(command.folder / "out/data/chunk-000/file-000.parquet").to_pydict()
    assert rows["next.reward"] == [0.5, -1.0, 0.0]
    assert rows["next.done"] == [False, True, False]


def write_square(folder: Path) -> Path:
    write_square_videos(folder / "other", {"train": 1}, 3)
    return folder / "other/train/00000"


def test_statistics_are_those_of_all_frames(command: Command) -> None:
    bright = Annotations([2, 2], [0.0, 0.0], [{}, {}], [False, False])
    write_video(command.folder / "data/val/00001", [np.full((32, 32, 3), 255, np.uint8)] * 2, bright)
    command()
    statistics = json.loads((command.folder / "out/meta/stats.json").read_text())
    videos = [Video(command.folder / "data" / name) for name in (*VIDEOS, "val/00001")]
    frames = [np.asarray(video.frame(index)) for video in videos for index in range(video.num_frames)]
    pixels = np.array(frames) / 255
    actions = np.concatenate([video.annotations.actions for video in videos])
    for values, found in ((pixels, statistics["observation.image"]), (actions, statistics["action"])):
        axes = (0, 1, 2) if values.ndim > 1 else 0
        for name in ("min", "max", "mean", "std"):
            expected = np.atleast_1d(getattr(np, name)(values, axis=axes))
            assert np.ravel(found[name]) == pytest.approx(expected)
    assert np.shape(statistics["observation.image"]["mean"]) == (3, 1, 1)
    assert statistics["action"]["count"] == [20]


def test_a_flat_folder_becomes_the_train_split(command: Command) -> None:
    shutil.move(command.folder / "data/train", command.folder / "flat")
    assert command("--data_root", f"{command.folder}/flat")[0] == 0
    assert json.loads((command.folder / "out/meta/info.json").read_text())["splits"] == {"train": "0:2"}


def test_a_model_infers_the_actions(command: Command, model: Caddy) -> None:
    config = ("--config", f"{command.folder}/square.yaml", "--device", "cpu")
    overrides = ("training.batching.skip_frames=1", "training.batching.batch_size=3")
    code, out, err = command(*config, *(word for override in overrides for word in ("--set", override)))
    assert (code, out) == (0, f"3 episodes, 13 frames in {command.folder}/out\n"), err
    strides = (2, 2, 1)
    expected = [
        inferred(model, Video(command.folder / "data" / name), stride)
        for name, stride in zip(VIDEOS, strides, strict=True)
    ]
    assert exported_actions(command.folder / "out") == expected
    assert len({action for actions in expected for action in actions}) > 1
    info = json.loads((command.folder / "out/meta/info.json").read_text())
    assert info["features"]["action"]["names"] == ["inferred_action"]


@pytest.mark.usefixtures("model")
def test_videos_without_a_step_are_skipped(command: Command) -> None:
    write_square_videos(command.folder / "short", {"train": 1}, 1)
    (command.folder / "short/train/00000").rename(command.folder / "data/train/00002")
    code, out, _ = command("--config", f"{command.folder}/square.yaml", "--device", "cpu")
    assert code == 3
    assert "1 of 3 videos are too short and skipped (00002)" in out
    assert out.endswith(f"3 episodes, 15 frames in {command.folder}/out\n")


def test_what_cannot_be_exported_is_refused(command: Command) -> None:
    data = command.folder / "data/train"
    write_video(data / "00002", [np.zeros((32, 32, 3), np.uint8)] * 2)
    assert "00002: has no true actions; give --config" in command.refused()
    shutil.rmtree(data / "00002")
    write_square_videos(command.folder / "other", {"train": 1}, 3, side=36)
    (command.folder / "other/train/00000").rename(data / "00002")
    assert "00002 of 36x36; a LeRobot data set has one size" in command.refused()
    assert "holds no videos" in command.refused("--data_root", str(data / "00002"))


def test_odd_sides_are_refused(command: Command) -> None:
    write_square_videos(command.folder / "odd", {"train": 1}, 3, side=33)
    assert "frames of 33x33 pixels: a LeRobot data set needs even sides" in command.refused(
        "--data_root", f"{command.folder}/odd"
    )


def test_an_existing_folder_is_kept(command: Command) -> None:
    (command.folder / "out").mkdir()
    assert command.refused() == f"{command.folder}/out: already exists; remove it or choose another --output_directory"


def test_a_damaged_frame_leaves_nothing_behind(command: Command) -> None:
    (command.folder / "data/val/00000/00004.png").write_bytes(b"")
    assert "val/00000/00004.png: the frame cannot be used" in command.refused()
    assert {path.name for path in command.folder.iterdir()} == {"data"}


def test_without_pyarrow_the_remedy_is_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert "pip install pyarrow" in command.refused()
