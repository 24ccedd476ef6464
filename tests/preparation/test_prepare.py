"""`dataset.acquisition.prepare`: what it chooses, and the whole way from video files to measured play."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import build_evaluation_dataset
import evaluate_dataset
import play
import train
from dataset.acquisition import prepare
from dataset.acquisition.atari_recording import RecordingOptions, record
from dataset.acquisition.readers.source import Probe, Source, SourceFrame
from dataset.open import find_videos
from dataset.video import Video, write_video
from evaluation.configuration import load_evaluation_configuration
from evaluation.results import read_results
from model.caddy import Caddy
from model.perceptual import VGG19
from preparation.choices import Choice, chosen_values, to_yaml
from preparation.costs import checkpoints_size, seconds_per_step, training_memory
from preparation.footage import (
    Footage,
    choose_frame_rate,
    choose_size,
    look_at,
    needs_cropping,
    share_out,
)
from preparation.machine import Machine, find_machine
from preparation.plan import Plan, draft_plan
from preparation.run import Request
from preparation.survey import Survey, choose_skip_frames, measure_motion, survey
from tests.command import Command, files
from tests.configurations import published_configuration, small_configuration
from tests.dataset.acquisition.clips import encode
from tests.synthetic import write_square_videos
from utils.command import UserError
from utils.configuration import Configuration, load_configuration
from utils.mp4_writer import Mp4Writer

GB = 10**9


@dataclass(frozen=True)
class FakeVideo:
    """Grey frames, each as bright as its number."""

    name: str = "fake"
    width: int = 160
    height: int = 208
    frame_rate: Fraction | None = Fraction(30)
    num_frames: int | None = 100

    def probe(self) -> Probe:
        return Probe(self.width, self.height, self.frame_rate, self.num_frames)

    def frames(self) -> Iterator[SourceFrame]:
        for number in range(self.num_frames or 40):
            yield SourceFrame(np.full((self.height, self.width, 3), number, np.uint8))


def footage(*videos: FakeVideo) -> Footage:
    return Footage(videos, [video.probe() for video in videos], {})


def machine(kind: str, memory: int, num_cores: int = 2) -> Machine:
    return Machine(torch.device(kind), "a machine", memory, num_cores)


def drafted(machine: Machine, *videos: FakeVideo) -> Plan:
    return draft_plan("game", Path("data/game"), footage(*(videos or (FakeVideo(),))), machine)


def write_mp4(path: Path, frames: Iterator[np.ndarray] | list[np.ndarray], frame_rate: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = Mp4Writer(path, frame_rate)
    for frame in frames:
        writer.write(frame)
    writer.close()


# Footage


@pytest.mark.parametrize(
    ("width", "height", "max_area", "size"),
    [
        (160, 210, 80 * 96, [80, 96]),
        (1920, 1080, 256 * 256, [336, 192]),
        (1080, 1920, 256 * 256, [192, 336]),
        (512, 512, 256 * 256, [256, 256]),
        (64, 48, 256 * 256, [64, 48]),
        (20, 20, 80 * 96, [32, 32]),
    ],
)
def test_frames_keep_their_shape_and_are_not_enlarged(width: int, height: int, max_area: int, size: list[int]) -> None:
    video = FakeVideo(width=width, height=height)
    assert choose_size(footage(video), max_area).value == size


def test_the_most_frequent_size_decides_and_others_are_cropped() -> None:
    wide, tall = FakeVideo(width=128, height=64), FakeVideo(width=64, height=128)
    assert choose_size(footage(tall, wide, wide), 128 * 64).value == [128, 64]
    assert needs_cropping(footage(tall, wide), (128, 64))
    assert not needs_cropping(footage(wide, wide), (128, 64))
    assert not needs_cropping(footage(FakeVideo(width=160, height=210)), (80, 96))


@pytest.mark.parametrize(
    ("rates", "chosen"),
    [
        ([30], 10),
        ([60, 60, 30], 10),
        ([25], 12.5),
        ([24], 12),
        ([15], 7.5),
        ([12], 12),
        ([5], 5),
        ([None], None),
        ([None, 20], 10),
    ],
)
def test_frames_are_stored_at_about_ten_a_second_and_evenly(rates: list[int | None], chosen: float | None) -> None:
    videos = [FakeVideo(frame_rate=None if rate is None else Fraction(rate)) for rate in rates]
    assert choose_frame_rate(footage(*videos)) == chosen


def test_lengths_follow_from_both_frame_rates() -> None:
    videos = FakeVideo(num_frames=90), FakeVideo(num_frames=None), FakeVideo(num_frames=7, frame_rate=None)
    assert footage(*videos).stored_lengths(Fraction(10)) == [30, 7]


def brightness(source: Source) -> list[int]:
    return [round(float(frame.pixels.mean())) for frame in source.frames()]


@pytest.mark.parametrize("num_frames", [40, None])
def test_of_few_videos_each_split_gets_a_part_and_every_frame_is_in_one(num_frames: int | None) -> None:
    videos = [FakeVideo(name, num_frames=num_frames) for name in ("a", "b")]
    shared = share_out(footage(*videos))
    parts = [brightness(part) for part in shared.sources]
    assert shared.fractions == (1 / 3, 1 / 3, 1 / 3)
    assert parts == 2 * [list(range(32))] + 2 * [list(range(32, 36))] + 2 * [list(range(36, 40))]
    assert [part.probe().num_frames for part in shared.sources] == [len(part) for part in parts]
    assert len({part.name for part in shared.sources}) == 6


def test_parts_of_a_file_hold_every_frame_once(tmp_path: Path) -> None:
    write_mp4(tmp_path / "one.mp4", [np.full((32, 32, 3), 4 * number + 20, np.uint8) for number in range(47)], 15)
    parts = [brightness(part) for part in share_out(look_at(tmp_path)).sources]
    assert [[round((value - 20) / 4) for value in part] for part in parts] == [
        list(range(38)),
        list(range(38, 42)),
        list(range(42, 47)),
    ]


@pytest.mark.parametrize(
    ("num_videos", "numbers"), [(5, (3, 1, 1)), (9, (7, 1, 1)), (10, (8, 1, 1)), (34, (28, 3, 3)), (100, (80, 10, 10))]
)
def test_of_many_videos_each_split_gets_whole_ones(num_videos: int, numbers: tuple[int, int, int]) -> None:
    videos = [FakeVideo(str(number)) for number in range(num_videos)]
    shared = share_out(footage(*videos))
    assert shared.sources == videos
    assert tuple(share * num_videos for share in shared.fractions) == pytest.approx(numbers)


# Converted frames


def test_motion_is_the_share_of_pixels_that_change(tmp_path: Path) -> None:
    """A white bar of 4 columns moves by 2 of 32 columns a frame: it leaves 2 and enters 2, later 4 and 4."""
    frames = np.zeros((20, 16, 32, 3), np.uint8)
    for number, frame in enumerate(frames):
        frame[:, np.arange(2 * number, 2 * number + 4) % 32] = 255
    write_video(tmp_path / "bar", frames)
    assert measure_motion([Video(tmp_path / "bar")], max_stride=3) == [4 / 32, 8 / 32, 8 / 32]


def test_noise_and_a_flash_are_no_motion(tmp_path: Path) -> None:
    frames = 100 + np.random.default_rng(0).integers(0, 20, (20, 16, 16, 3), np.uint8)
    frames[10] = 255
    write_video(tmp_path / "noise", frames)
    assert measure_motion([Video(tmp_path / "noise")], max_stride=2) == [0, 0]


def test_as_few_frames_are_left_out_as_show_a_movement() -> None:
    assert choose_skip_frames([0.1, 0.2]).value == 0
    assert choose_skip_frames([0, 0.0004, 0.0006, 0.1]).value == 2
    slow = choose_skip_frames([0, 0, 0.0001])
    assert slow.value == 2
    assert "hardly anything moves" in slow.why


def test_a_survey_counts_what_is_there(tmp_path: Path) -> None:
    write_square_videos(tmp_path, {"train": 3, "val": 1, "test": 1}, length=20)
    found = survey(tmp_path)
    assert found.num_videos == {"train": 3, "val": 1, "test": 1}
    assert found.num_frames == 100
    assert found.num_bytes == sum(len(contents) for contents in files(tmp_path).values() if contents)
    assert found.usable_length == 20
    assert found.true_actions == {0, 1, 2}
    assert len(found.moving_shares) == 3
    assert found.fitting_observations(skip_frames=2) == 7


def test_sequences_fit_into_the_videos_that_most_frames_are_in(tmp_path: Path) -> None:
    write_square_videos(tmp_path, {"train": 2, "val": 1, "test": 1}, length=20)
    for number in range(9):
        write_video(tmp_path / f"val/flash{number}", np.zeros((2, 32, 32, 3), np.uint8))
    assert survey(tmp_path).usable_length == 20
    for number in range(2):
        write_video(tmp_path / f"val/another{number}", np.zeros((2, 32, 32, 3), np.uint8))
    with pytest.raises(UserError, match="most frames of a split are in videos of at most 2 frames"):
        survey(tmp_path)


# Choices


@pytest.fixture(scope="module")
def draft() -> Plan:
    """For two CPU cores."""
    return drafted(machine("cpu", 16 * GB))


def surveyed(usable_length: int = 100, true_actions: frozenset[int] | None = None) -> Survey:
    return Survey({"train": 8, "val": 1, "test": 1}, 1000, 10**6, usable_length, true_actions, [0.01])


@pytest.mark.parametrize(
    ("true_actions", "wanted", "count", "is_known"),
    [
        (None, None, 5, False),
        (None, 3, 3, False),
        (frozenset({0, 2}), None, 3, True),
        (frozenset({0, 2}), 4, 4, True),
        (frozenset({0, 2}), 2, 2, False),
        (frozenset({0}), None, 5, True),
    ],
)
def test_the_number_of_actions(
    draft: Plan, true_actions: frozenset[int] | None, wanted: int | None, count: int, is_known: bool
) -> None:
    plan = draft.after(surveyed(true_actions=true_actions), wanted)
    assert plan.configuration.data.actions_count == count
    assert plan.configuration.data.ground_truth_available == is_known


@pytest.mark.parametrize(("length", "trained", "evaluated"), [(100, 7, 16), (10, 7, 10), (5, 5, 5), (4, 4, 4)])
def test_sequences_are_no_longer_than_the_videos(draft: Plan, length: int, trained: int, evaluated: int) -> None:
    config = draft.after(surveyed(length), None).configuration
    assert config.training.batching.observations_count == trained
    assert config.training.ground_truth_observations_start == trained - 1
    assert config.training.ground_truth_observations_end == 2
    assert config.evaluation.batching.observations_count == evaluated
    assert config.evaluation_dataset.ground_truth_observations_init == min(4, evaluated - 1)


@pytest.mark.parametrize(("num_cores", "size"), [(2, [80, 96]), (16, [96, 128])])
def test_a_machine_without_cuda_trains_as_the_demo(num_cores: int, size: list[int]) -> None:
    config = drafted(machine("cpu", 16 * GB, num_cores)).configuration
    demo = load_configuration(Path(train.__file__).parent / "configs/00_breakout_demo.yaml")
    assert config.model.representation_network.target_input_size == size
    assert config.model.width_multiplier == demo.model.width_multiplier
    assert config.model.dynamics_network == demo.model.dynamics_network
    own = {"observations_count_start": 7, "observations_count_steps": 1}
    assert config.training.batching == demo.training.batching.model_copy(update=own)
    assert config.training.loss_weights == demo.training.loss_weights
    assert config.model.action_network.action_space_dimension == 2


@pytest.fixture
def vgg19(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the weights are; they are there."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    VGG19.path.parent.mkdir(parents=True)
    VGG19.path.touch()
    return VGG19.path


def memory_of(config: Configuration, _device: torch.device) -> int:
    """About as much as it takes, counted in no time."""
    per_sequence = 4 * GB if config.model.architecture == "model.main_model.model" else GB
    share = 0.1 if config.training.activation_checkpointing else 1
    return round(config.training.batching.batch_size * per_sequence * share)


@pytest.mark.parametrize(
    ("memory", "published", "size", "batch_size", "recomputes"),
    [
        (80 * GB, "01_bair", [256, 256], 8, False),
        (11 * GB, "01_bair", [256, 256], 8, True),
        (3 * GB, "02_breakout", [176, 176], 8, True),
        (GB // 2, "02_breakout", [176, 176], 4, True),
    ],
)
@pytest.mark.usefixtures("vgg19")
def test_a_gpu_trains_the_largest_published_network_that_fits(
    memory: int, published: str, size: list[int], batch_size: int, recomputes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preparation.plan.training_memory", memory_of)
    config = drafted(machine("cuda", memory), FakeVideo(width=512, height=512)).configuration
    expected = published_configuration(published)
    assert config.model.representation_network.target_input_size == size
    assert config.training.batching.batch_size == batch_size
    assert config.training.activation_checkpointing == recomputes
    assert config.model.architecture == expected.model.architecture
    assert config.model.dynamics_network == expected.model.dynamics_network
    assert config.training.loss_weights == expected.training.loss_weights
    assert config.training.batching.observations_count == expected.training.batching.observations_count
    assert config.training.max_steps == 300_000


def test_memory_is_that_of_the_precision_that_a_gpu_trains_in() -> None:
    expected = training_memory(small_configuration("training.precision=tf32"), torch.device("cpu"))
    assert training_memory(small_configuration(), torch.device("cuda")) == expected


def test_without_vgg19_there_is_no_perceptual_loss(vgg19: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no connection")

    vgg19.unlink()
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    plan = drafted(machine("cuda", 80 * GB))
    assert not plan.configuration.training.loss_weights.need_perceptual_network
    assert str(vgg19) in plan.perceptual_weight.why


@pytest.mark.usefixtures("vgg19")
def test_frames_too_small_for_vgg19_have_no_perceptual_loss() -> None:
    plan = drafted(machine("cuda", 80 * GB), FakeVideo(width=96, height=48))
    assert plan.perceptual_weight == Choice(0, "VGG19 needs sides of at least 64 pixels")


def test_the_machine_is_this_one() -> None:
    found = find_machine("cpu")
    assert found.device == torch.device("cpu")
    assert found.memory > GB
    assert found.name.startswith(str(found.num_cores))


def test_a_file_tells_values_and_reasons() -> None:
    choices = {
        "data.crop": Choice([0, 0, 8, 8], "all"),
        "model.action_network.use_gumbel": Choice(True),
        "data.name": Choice("a: b", "odd"),
        "training.weight": Choice(1e-4),
        "training.missing": Choice(None),
    }
    text = to_yaml("two\nlines", choices)
    assert text == (
        "# two\n# lines\n\ndata:\n  crop: [0, 0, 8, 8]  # all\n  name: 'a: b'  # odd\n\n"
        "model:\n  action_network:\n    use_gumbel: true\n\ntraining:\n  weight: 0.0001\n  missing: null\n"
    )
    assert yaml.safe_load(text) == chosen_values(choices)


# Costs


@pytest.mark.parametrize(
    "name", ["3e2", "2024", "on", "1_0", "null", "0x1f", "1.e5", "1.", "é", "e\u0301", "हिन्दी", "n" * 200, "_"]
)
def test_a_name_is_read_back_from_both_configurations(name: str, draft: Plan, tmp_path: Path) -> None:
    plan = replace(draft, name=name)
    for choices, load in (
        (plan.training_choices, load_configuration),
        (plan.evaluation_choices, load_evaluation_configuration),
    ):
        path = tmp_path / f"{name}.yaml"
        path.write_text(to_yaml(name, choices), encoding="utf-8")
        written = load(path)
        assert written.logging.run_name == name
        path.write_text(written.to_yaml() if isinstance(written, Configuration) else to_yaml(name, choices))
        assert load(path) == written
    assert plan.configuration.logging.run_name == name


FOLDERS = [
    "a b",
    "'",
    '"',
    "100%",
    "%05d",
    "~",
    "a:b",
    "-a",
    "#",
    "a #b",
    "$HOME",
    "*",
    "?",
    "\\",
    "a,b",
    "[a]",
    "a\nb",
    "é",
]


@pytest.mark.parametrize("folder", [*FOLDERS, "e\u0301", "a\x85b", "\u2028", "\ufeff", "\U0001f3ae", "3e2", "f" * 250])
def test_a_folder_is_read_back_from_both_configurations(folder: str, draft: Plan, tmp_path: Path) -> None:
    plan = replace(draft, data_root=Path(folder))
    path = tmp_path / "game.yaml"
    path.write_text(to_yaml("game", plan.training_choices), encoding="utf-8")
    assert load_configuration(path).data.data_root == folder
    path.write_text(load_configuration(path).to_yaml(), encoding="utf-8")
    assert load_configuration(path).data.data_root == folder
    path.write_text(to_yaml("game", plan.evaluation_choices), encoding="utf-8")
    assert load_evaluation_configuration(path).reference_data.data_root == folder


@pytest.mark.parametrize("folder", [*FOLDERS, "a\x85b", os.fsdecode(b"\xff")])
def test_the_command_in_a_configuration_is_one_line_that_a_shell_takes(folder: str) -> None:
    request = Request(Path(folder), "game", Path("data"), None, None, 24000 / 1001, "cpu", 1)
    assert len(request.command.encode().splitlines()) == 1
    script = request.command.replace("python -m dataset.acquisition.prepare", "printf '%s\\0'", 1)
    words = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, check=True).stdout.split(b"\0")
    arguments = prepare.parse_arguments([os.fsdecode(word) for word in words[:-1]])
    assert (arguments.videos, arguments.fps) == (Path(folder), 24000 / 1001)


def test_checkpoints_hold_weights_and_two_moments() -> None:
    config = small_configuration("training.max_steps=1000", "training.save_freq=250")
    weights = sum(weight.nbytes for weight in Caddy(config).state_dict().values())
    assert checkpoints_size(config) == 5 * 3 * weights


def test_a_step_takes_some_time() -> None:
    config = small_configuration("training.batching.batch_size=1", "training.batching.observations_count=7")
    assert 0 < seconds_per_step(config, torch.device("cpu")) < 10


# The command


@pytest.fixture
def pong(tmp_path: Path) -> Path:
    """A folder of five video files of Pong, of which nothing but the pixels is kept."""
    recording = RecordingOptions("pong", 5, 0, 0, 32, 4, (0, 0, 160, 210), (48, 64), seed=0)
    record(recording, tmp_path / "recorded", processes=1)
    for split, number in recording.videos():
        video = Video(tmp_path / "recorded" / split / f"{number:05d}")
        frames = [np.asarray(video.frame(index)) for index in range(video.num_frames)]
        write_mp4(tmp_path / f"videos/{number}.mp4", frames, frame_rate=15)
    return tmp_path / "videos"


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five small video files, in which a bar moves."""
    folder = tmp_path_factory.mktemp("videos")
    frames = np.zeros((12, 32, 32, 3), np.uint8)
    for number, frame in enumerate(frames):
        frame[:, 2 * number : 2 * number + 8] = 255
    for number in range(5):
        write_mp4(folder / f"{number}.mp4", list(frames), 10)
    return folder


@pytest.fixture
def measuring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr("preparation.costs.NUM_TIMED_STEPS", 1)
    return Command(prepare, folder, monkeypatch, capsys, "--device", "cpu", "--processes", "1")


@pytest.fixture
def command(measuring: Command, _without_measuring: None) -> Command:
    """Run it quickly."""
    return measuring


def options(videos: Path, name: str = "my_game") -> list[str]:
    return ["--videos", str(videos), "--name", name]


@pytest.mark.usefixtures("_without_plots")
def test_from_video_files_to_measured_play(
    pong: Path, measuring: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, err = measuring(*options(pong, "my_pong"))
    assert (code, re.findall("^error.*", err)) == (0, [])
    assert "data set    data/my_pong: 3 train + 1 val + 1 test videos, 80 frames" in out
    assert "network     a small network, 5 actions, 6 sequences a batch" in out
    config = load_configuration("configs/my_pong.yaml")
    evaluation = load_evaluation_configuration("configs/evaluation/my_pong.yaml")
    assert config.model.representation_network.target_input_size == [48, 64]
    assert config.data.actions_count == evaluation.data.actions_count == 5
    assert not config.data.ground_truth_available
    assert evaluation.evaluation.movement_name == "generic"
    commands = dict(re.findall(r"python (\w+)\.py --config (\S+)", out))
    assert commands == {
        "train": "configs/my_pong.yaml",
        "play": "configs/my_pong.yaml",
        "build_evaluation_dataset": "configs/my_pong.yaml",
        "evaluate_dataset": "configs/evaluation/my_pong.yaml",
    }

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no connection")

    monkeypatch.setattr("evaluation.dataset_evaluator.write_report", lambda *_: None)
    monkeypatch.setattr("evaluation.dataset_builder.NUM_STARTS", 1)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    steps = {
        train: ["training.max_steps=2", "training.pretraining_steps=1", "evaluation.max_evaluation_batches=1"],
        play: [],
        build_evaluation_dataset: ["evaluation_dataset.max_sequences=2"],
        evaluate_dataset: [],
    }
    for module, overrides in steps.items():
        arguments = ["--config", commands[module.__name__], "--device", "cpu"]
        arguments += [part for override in overrides for part in ("--set", override)]
        arguments += ["--headless", "--actions", "1,5x2"] if module is play else []
        code, out, err = Command(module, measuring.folder, monkeypatch, capsys)(*arguments)
        assert code == 0, err
    mse = read_results(measuring.folder / "evaluation_results/my_pong/data.yml").values["mse/avg"]
    assert isinstance(mse, float)
    assert 0 < mse < 1


def test_the_same_command_again_changes_nothing_and_completes_what_is_missing(videos: Path, command: Command) -> None:
    assert command(*options(videos))[0] == 0
    written = files(command.folder)
    assert command(*options(videos))[0] == 0
    assert files(command.folder) == written
    frames = next(command.folder.glob("data/my_game/val/*"))
    for path in (*frames.iterdir(), command.folder / "configs/my_game.yaml"):
        path.unlink()
    frames.rmdir()
    assert command(*options(videos))[0] == 0
    assert files(command.folder) == written


def test_one_long_video_is_shared_by_the_splits(tmp_path: Path, command: Command) -> None:
    frames = [np.zeros((48, 64, 3), np.uint8) for _ in range(80)]
    for time, frame in enumerate(frames):
        x = abs(4 * time % 96 - 48)
        frame[10:26, x : x + 16] = 255
    write_mp4(tmp_path / "one.mp4", frames, 10)
    code, out, _ = command(*options(tmp_path / "one.mp4"))
    assert code == 0
    assert "1 train + 1 val + 1 test videos, 80 frames" in out
    config = load_configuration("configs/my_game.yaml")
    assert config.model.representation_network.target_input_size == [64, 48]
    assert config.evaluation.batching.observations_count == 8


def test_what_cannot_be_read_is_told_and_left_out(videos: Path, tmp_path: Path, command: Command) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for file in videos.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("no video")
    code, out, _ = command(*options(folder))
    assert code == 3
    assert re.findall("^skipped (.*?):", out, re.MULTILINE) == ["empty.mp4", "text.mp4"]
    assert load_configuration("configs/my_game.yaml").data.data_root == "data/my_game"


def test_a_picture_or_a_video_that_is_cut_off_does_not_end_the_others(tmp_path: Path, command: Command) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8)
    for number in range(6):
        folder = tmp_path / "pictures" / str(number)
        folder.mkdir(parents=True)
        for index, frame in enumerate(noise):
            Image.fromarray(frame).save(folder / f"{index}.png")
        (tmp_path / "videos").mkdir(exist_ok=True)
        encode(tmp_path / f"videos/{number}.mp4", noise, "-c:v", "libx264", "-g", "1", "-movflags", "faststart")
    cut_off(tmp_path / "pictures/0/0.png", 0.5)
    cut_off(tmp_path / "videos/0.mp4", 0.3)
    code, out, err = command(*options(tmp_path / "pictures", "pictures"))
    assert code == 3, err
    assert re.findall("^skipped (.*?): (.*?): ", out, re.MULTILINE) == [("pictures/0", "0.png")]
    assert "3 train + 1 val + 1 test videos, 60 frames" in out
    code, out, err = command(*options(tmp_path / "videos", "videos"))
    assert code == 3, err
    assert re.search("^(warning:|skipped) 0.mp4: damaged or incomplete", out, re.MULTILINE)


def test_each_frame_is_kept_where_time_starts_again_and_the_size_changes(tmp_path: Path, command: Command) -> None:
    frames = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8), 120, axis=0)
    for index, frame in enumerate(frames):
        frame[:, index % 80 : index % 80 + 16] = 255
    for name, part in (("first.ts", frames[:40, :32, :64]), ("second.ts", frames[40:])):
        encode(tmp_path / name, part, "-c:v", "libx264", "-pix_fmt", "yuv420p")
    joined = tmp_path / "joined.ts"
    joined.write_bytes((tmp_path / "first.ts").read_bytes() + (tmp_path / "second.ts").read_bytes())
    code, out, err = command(*options(joined), "--fps", "10")
    assert code == 0, err
    assert re.search(r"data set    data/my_game: .* videos, 120 frames", out)
    train = find_videos(load_configuration("configs/my_game.yaml").data, "train")
    assert sum(Video(path).num_frames for path in train) == 96


def cut_off(file: Path, share: float) -> None:
    """Keep the beginning of a file."""
    file.write_bytes(file.read_bytes()[: round(share * file.stat().st_size)])


def test_names_that_are_no_words_or_not_even_text(videos: Path, tmp_path: Path, command: Command) -> None:
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/a 'b\" 100%d\xff\n"))
    folder.mkdir()
    for number, name in enumerate(
        [b"~.mp4", b"-y.mp4", b"a:b %05d.mp4", b"\xfe.mp4", "e\u0301".encode() * 80 + b".mp4"]
    ):
        Path(os.fsdecode(bytes(folder) + b"/" + name)).symlink_to(videos / f"{number}.mp4")
    (folder / "text.mp4").write_text("no video")
    chosen = [*options(folder, "3e2"), "--data_root", "data/a: '%b #c"]
    for _ in range(2):
        code, out, err = command(*chosen)
        assert code == 3, err
        assert "skipped text.mp4: " in out
    config = load_configuration("configs/3e2.yaml")
    assert config.logging.run_name == "3e2"
    assert len(find_videos(config.data, "train")) == 3
    assert "choose a shorter name" in command.refused(*options(videos, "other"), "--data_root", "d" * 256)
    assert "not a name in UTF-8" in command.refused(*options(videos, "other"), "--data_root", os.fsdecode(b"\xff"))


def test_a_name_that_is_taken(videos: Path, command: Command) -> None:
    config = command.folder / "configs/my_game.yaml"
    config.parent.mkdir()
    config.write_text("mine: true\n")
    assert command.refused(*options(videos)).startswith("configs/my_game.yaml: exists")


def test_a_configuration_that_was_edited_is_kept(videos: Path, command: Command) -> None:
    command(*options(videos))
    config = command.folder / "configs/my_game.yaml"
    config.write_text(config.read_text().replace("max_steps: 3000", "max_steps: 9000"))
    before = files(command.folder)
    code, _, err = command(*options(videos))
    assert code == 2
    assert "error: configs/my_game.yaml: was changed since this command wrote it" in err
    assert files(command.folder) == before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--videos", "nothing", "--name", "game"], "nothing: no videos there"),
        (["--videos", "nothing", "--name", "game"], "nothing: no videos there: there is no such file or folder"),
        (["--videos", "http://a.org/b.mp4", "--name", "game"], "it is an address; download"),
        (["--videos", ".", "--name", "a/b"], "--name a/b: not a file name"),
        (["--videos", ".", "--name", "n" * 201], "200 bytes at most"),
        (["--videos", ".", "--name", "n\n"], "not a file name"),
        (["--videos", ".", "--name", "game", "--actions", "1"], "1 is not a whole number of at least 2"),
        (["--videos", ".", "--name", "game", "--processes", "0"], "0 is not a whole number of at least 1"),
        (["--videos", ".", "--name", "game", "--fps", "0"], "0 is not a number above 0"),
    ],
)
def test_mistakes_are_told_in_one_line(command: Command, arguments: list[str], reason: str) -> None:
    assert reason in command.refused(*arguments)


def test_a_training_that_fits_into_a_time_keeps_its_steps(
    videos: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preparation.run.seconds_per_step", lambda *_: 0.5)
    assert command(*options(videos), "--minutes", "10")[0] == 0
    written = files(command.folder)
    assert load_configuration("configs/my_game.yaml").training.max_steps == 1080
    assert "as many as fitted into 10 minutes" in Path("configs/my_game.yaml").read_text()
    monkeypatch.setattr("preparation.run.seconds_per_step", lambda *_: 0.7)
    assert command(*options(videos), "--minutes", "10")[0] == 0
    assert files(command.folder) == written
    assert "from other options" in command.refused(*options(videos))
    assert "give at least" in command(*options(videos, "other"), "--minutes", "1e-3")[2]


def test_the_walk_through_calls_the_command_as_it_asks_to_be() -> None:
    text = (Path(__file__).parents[2] / "docs/own_videos.md").read_text(encoding="utf-8")
    lines = re.findall(r"^python -m dataset\.acquisition\.prepare (.*)$", text, re.MULTILINE)
    assert [prepare.parse_arguments(shlex.split(line)).minutes for line in lines] == [30]


def test_a_box_and_a_frame_rate_that_the_user_chooses(videos: Path, command: Command) -> None:
    chosen = [*options(videos), "--crop", "0", "0", "16", "32", "--fps", "5"]
    code, out, _ = command(*chosen)
    assert code == 0
    assert "found       5 video(s) of 16x32 in " in out
    assert "data set    data/my_game: 3 train + 1 val + 1 test videos, 30 frames" in out
    config = load_configuration("configs/my_game.yaml")
    assert config.model.representation_network.target_input_size == [32, 32]
    video = Video(next(Path("data/my_game/train").iterdir()))
    assert np.asarray(video.frame(0))[:, :12].min() > 200
    assert np.asarray(video.frame(5)).max() < 50  # the bar has left the box
    assert command(*chosen)[0] == 0
    other_name = options(videos, "other")
    assert "--crop 8 0 8 16: is no box" in command.refused(*other_name, "--crop", "8", "0", "8", "16")
    refusal = command.refused(*other_name, "--crop", "0", "0", "64", "16")
    assert "--crop 0 0 64 16: no video holds it; most are 32x32 pixels" in refusal


@pytest.fixture(scope="module")
def two_bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a video in which two bars move, each by itself."""
    folder = tmp_path_factory.mktemp("bars")
    frames = []
    for time in range(200):
        frame = np.full((64, 80, 3), 40, np.uint8)
        for place, left in ((abs(3 * time % 88 - 44), 8), (abs(5 * time % 100 - 50), 64)):
            frame[place + 2 : place + 12, left : left + 6] = 220
        frames.append(frame)
    write_mp4(folder / "bars.mp4", frames, 10)
    return folder


def test_the_part_that_is_played_is_proposed_and_may_be_chosen_anew(two_bars: Path, command: Command) -> None:
    code, out, err = command(*options(two_bars))
    assert code == 0, err
    listed = re.findall(r"^(?:moves)? +(\d)  (.*), up and down, in \d+% of the steps: ([\d,]+)$", out, re.MULTILINE)
    assert {place for _, place, _ in listed} == {"left", "right"}
    assert "played      of 2 regions that move by themselves the one that moves most" in out
    assert "--play_region 2 takes another" in out
    assert (command.folder / "data/my_game/play_regions.png").stat().st_size
    boxes = {number: [int(side) for side in box.split(",")] for number, _, box in listed}
    assert load_configuration("configs/my_game.yaml").data.play_region == boxes["1"]
    for chosen, region in (("2", boxes["2"]), ("0,0,40,64", [0, 0, 40, 64]), ("all", None)):
        code, _, err = command(*options(two_bars), "--play_region", chosen)
        assert code == 0, err
        assert load_configuration("configs/my_game.yaml").data.play_region == region
        assert f"--play_region {chosen}" in (command.folder / "configs/my_game.yaml").read_text()
    assert command(*options(two_bars), "--play", "camera")[0] == 0
    config = load_configuration("configs/my_game.yaml")
    assert config.data.play_region is None
    assert config.training.action_directions_motion_source == "camera"
    edited = command.folder / "configs/my_game.yaml"
    edited.write_text(edited.read_text().replace("max_steps: 3000", "max_steps: 9000"))
    code, _, err = command(*options(two_bars), "--play_region", "1")
    assert code == 2
    assert "was changed since this command wrote it" in err


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        ("1,2,3", "1,2,3 is no box L,T,R,B in pixels"),
        ("0,0,100,64", "--play_region 0,0,100,64: is no box inside of what is used of the frames"),
        ("0,0,4,64", "--play_region 0,0,4,64: is too small"),
    ],
)
def test_a_part_that_cannot_be_played(region: str, reason: str, two_bars: Path, command: Command) -> None:
    assert reason in command.refused(*options(two_bars), "--play_region", region)


def test_labels_are_stored_and_name_the_actions(videos: Path, tmp_path: Path, command: Command) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("video,frame,action\n0.mp4,2,right\n0.mp4,5,stay\n4.mp4,0,right\n")
    for _ in range(2):
        code, out, err = command(*options(videos), "--labels", str(table), "--actions", "3")
        assert code == 0, err
        assert "labels      3 of 60 frames, keys 1 right, 2 stay, 3 action 3" in out
    config = load_configuration("configs/my_game.yaml")
    assert config.data.action_names == ["right", "stay", "action 3"]
    assert config.data.actions_count == 3
    assert config.training.loss_weights.action_supervision_lambda == 1
    evaluation = load_evaluation_configuration("configs/evaluation/my_game.yaml")
    assert evaluation.data.action_names == ["right", "stay", "action 3"]
    found = [
        (path.parent.name, index, metadata["label"])
        for split in ("train", "val", "test")
        for path in find_videos(config.data, split)
        for index, metadata in enumerate(Video(path).annotations.metadata)
        if metadata
    ]
    assert found == [("train", 2, 0), ("train", 5, 1), ("test", 0, 0)]


def recorded_footage(file: Path, actions: np.ndarray | None) -> Path:
    """Write five videos of twelve frames as HDF5, with actions (5, 12) or (5, 12, D), if given."""
    frames = np.zeros((5, 12, 64, 64, 3), np.uint8)
    for number, time in np.ndindex(5, 12):
        frames[number, time, 20:40, 4 * time : 4 * time + 12] = 200
    with h5py.File(file, "w") as content:
        content["frames"] = frames
        if actions is not None:
            content["actions"] = actions
    return file


def stored_labels() -> list[list[int | None]]:
    """The labels of all frames of the data set that was prepared, by split."""
    data = load_configuration("configs/my_game.yaml").data
    return [
        [entry.get("label") for path in find_videos(data, split) for entry in Video(path).annotations.metadata]
        for split in ("train", "val", "test")
    ]


def test_recorded_continuous_actions_become_labels_in_groups(tmp_path: Path, command: Command) -> None:
    actions = np.zeros((5, 12, 2))
    actions[:, ::2, 0] = 0.5
    actions[:, 1::2, 1] = -0.25
    file = recorded_footage(tmp_path / "robot.h5", actions)
    for _ in range(2):
        code, out, err = command(*options(file), "--labels", "recorded", "--actions", "2")
        assert code == 0, err
        assert "labels      60 of 60 frames, groups 1 0 -0.25, 2 0.5 0" in out
    config = load_configuration("configs/my_game.yaml")
    assert config.data.action_names == ["0 -0.25", "0.5 0"]
    assert config.training.loss_weights.action_supervision_lambda == 1
    assert stored_labels() == [[1, 0] * 18, [1, 0] * 6, [1, 0] * 6]
    assert "--labels recorded" in Path("configs/my_game.yaml").read_text()


def test_recorded_discrete_actions_are_labels_as_they_are(tmp_path: Path, command: Command) -> None:
    file = recorded_footage(tmp_path / "game.h5", np.tile(np.arange(12) % 3, (5, 1)))
    code, out, err = command(*options(file), "--labels", "recorded")
    assert code == 0, err
    assert "labels      60 of 60 frames, actions 0 to 2" in out
    config = load_configuration("configs/my_game.yaml")
    assert config.data.actions_count == 3
    assert config.training.loss_weights.action_supervision_lambda == 1
    code, _, err = command(*options(file, "other"), "--labels", "recorded", "--actions", "2")
    assert code == 2
    assert "has actions from 0 to 2; they must be 0 or more, and fewer than --actions" in err


def test_footage_that_records_no_actions(videos: Path, command: Command) -> None:
    code, _, err = command(*options(videos), "--labels", "recorded")
    assert code == 2
    assert "the footage records no actions" in err


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("frame,action\n1,left\n", "has no column video; its first line must be video,frame,action"),
        ("video,frame,action\n", "holds no labels"),
        ("video,frame,action\n0.mp4,x,left\n", "line 2: the frame is 'x'"),
        (f"video,frame,action\n0.mp4,{'9' * 5000},left\n", "line 2: the frame is '99"),
        (f"video,frame,action\n0.mp4,1,{'9' * 30}\n", f"has an action {'9' * 30}; number the actions from 0 on"),
        ("video,frame,action\n0.mp4,1,\n", "line 2: the action is ''"),
        ("video,frame,action\n0.mp4,1,a\n0.mp4,1,b\n", "line 3: frame 1 of 0.mp4 is b, in line 2 a; keep one"),
        ("video,frame,action\nother.mp4,1,a\n", "line 2: there is no readable video other.mp4; the first is 0.mp4"),
        ("video,frame,action\n0.mp4,12,a\n", "line 2: 0.mp4 has no frame 12, only 0 to 11"),
        ("video,frame,action\n0.mp4,1,a\n0.mp4,2,b\n0.mp4,3,c\n", "has 3 actions, which are more than --actions 2"),
    ],
)
def test_labels_that_cannot_be_used(text: str, reason: str, videos: Path, tmp_path: Path, command: Command) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(text)
    assert reason in command.refused(*options(videos), "--labels", str(table), "--actions", "2")


def test_footage_in_which_nothing_moves(tmp_path: Path, command: Command) -> None:
    write_mp4(tmp_path / "still/still.mp4", [np.full((32, 32, 3), 90, np.uint8)] * 60, 10)
    code, _, err = command(*options(tmp_path / "still"))
    assert code == 2
    assert "error: " in err
    assert "nothing moves in the frames that were compared" in err


def test_footage_that_cannot_be_used(tmp_path: Path, command: Command) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    assert "none of the 1 videos can be read; text.mp4: " in command.refused(*options(tmp_path))
    write_mp4(tmp_path / "short/short.mp4", [np.zeros((32, 32, 3), np.uint8)] * 9, 10)
    refusal = command.refused(*options(tmp_path / "short"))
    assert "the longest of 1 videos has 9 frames at 10 a second" in refusal
