import json
import pickletools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dataset import restricted_pickle
from dataset.authors_layout import convert_to_authors_layout
from dataset.batching import BATCHES_AHEAD, Batch, evaluation_keys
from dataset.open import open_split
from dataset.video import Video, VideoWriter
from dataset.video_dataset import Samples, SequenceKey, VideoDataset
from evaluation import dataset_builder
from evaluation.dataset_builder import Build, build_evaluation_dataset, reconstruct
from model.caddy import Caddy
from model.playable import ActionSampler, Rollout, most_probable_actions, true_actions
from playing.simulator import Simulator, digest
from tests.command import files
from tests.synthetic import VIDEO_LENGTH, square_configuration, write_square_videos
from utils.checkpoint import LATEST, save_checkpoint
from utils.command import UserError
from utils.configuration import Configuration
from utils.images import to_uint8

CPU = torch.device("cpu")
T = 4
NUM_SEQUENCES = 2 * (VIDEO_LENGTH - T + 1)
NUM_STARTS = 2
NUM_REPETITIONS = 3
NUM_DEMONSTRATIONS = 3 * NUM_STARTS
FIRST_FRAME = NUM_DEMONSTRATIONS * (NUM_REPETITIONS + 1) + 1
"""How many frames are written up to the first one of the first sequence."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two test videos; actions are demonstrated more briefly than usual."""
    monkeypatch.setattr(dataset_builder, "NUM_STARTS", NUM_STARTS)
    monkeypatch.setattr(dataset_builder, "NUM_REPETITIONS", NUM_REPETITIONS)
    write_square_videos(tmp_path / "data", {"test": 2})
    return tmp_path


def new_model(config: Configuration, variance: float | None = None) -> Caddy:
    """A model that learned nothing; its directions may have a given variance for each of two observations' states."""
    torch.manual_seed(0)
    model = Caddy(config).eval()
    for parameter in model.parameters():
        parameter.data *= 1.7  # untrained, it would hardly react to anything
    for network in model.action_network:
        if variance is not None:
            torch.nn.init.zeros_(network.variance_fc.weight)  # type: ignore[union-attr, arg-type]
            torch.nn.init.constant_(network.variance_fc.bias, variance)  # type: ignore[union-attr, arg-type]
    return model


def configured(folder: Path, *overrides: str, variance: float | None = None) -> Configuration:
    """A configuration for which there is a checkpoint."""
    config = square_configuration(folder, *overrides)
    weights = new_model(config, variance).state_dict()
    save_checkpoint(config.logging.save_directory / LATEST, {"model": weights})
    return config


def root_of(config: Configuration) -> Path:
    return config.logging.output_directory / "evaluation_dataset"


def built(config: Configuration, **options: Any) -> Path:
    build_evaluation_dataset(config, "cpu", **options)
    return root_of(config)


def videos(folder: Path) -> list[Video]:
    return [Video(path) for path in sorted(folder.iterdir())]


def pixels(video: Video) -> np.ndarray:
    return np.stack([np.asarray(video.frame(index)) for index in range(len(video))])


def column(video: Video, name: str) -> np.ndarray:
    """One entry of the metadata of all frames but the last, which has none."""
    *metadata, last = video.annotations.metadata
    assert last == {}
    assert all(entry.keys() == {"inferred_action", "encoded_action"} for entry in metadata)
    return np.array([entry[name] for entry in metadata])


def sequences_of(config: Configuration) -> tuple[VideoDataset, Batch]:
    """The test split and all its sequences as one batch."""
    dataset = open_split(config, "test", config.evaluation.batching)
    return dataset, Batch.of(dataset[evaluation_keys(dataset, config.evaluation.batching.observations_count)])


def rolled_out(config: Configuration, model: Caddy, batch: Batch) -> Rollout:
    """What the model itself makes of the sequences, without noise if the directions have no variance."""
    sampler: ActionSampler = most_probable_actions
    if config.training.use_ground_truth_actions:
        sampler = true_actions(batch.actions, config.data.actions_count)
    context = config.evaluation_dataset.ground_truth_observations_init
    with torch.inference_mode():
        return model(batch.observations(), context, action_sampler=sampler, zero_variations=True)


def assert_close(frames: np.ndarray, expected: np.ndarray) -> None:
    """Equal but for the rounding of batches of other sizes."""
    assert frames.shape == expected.shape
    assert frames.dtype == np.uint8
    assert np.abs(frames.astype(int) - expected).max() <= 2


# What is built


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("evaluation_dataset.ground_truth_observations_init=3", "evaluation.batching.batch_size=5"),
        ("evaluation.batching.observation_stacking=2", "training.batching.observation_stacking=2"),
        ("evaluation.batching.skip_frames=1", "evaluation.batching.num_workers=1"),
        ("training.use_ground_truth_actions=true",),
    ],
)
def test_every_sequence_is_reconstructed_as_the_model_does(folder: Path, overrides: tuple[str, ...]) -> None:
    config = configured(folder, *overrides, variance=0.0)
    dataset, batch = sequences_of(config)
    rollout = rolled_out(config, new_model(config, variance=0.0), batch)
    generated = to_uint8(rollout.frames.full).movedim(2, -1).numpy()

    made = videos(built(config) / "test")
    assert len(made) == dataset.num_sequences(T) == len(batch.keys)
    assert [video.path.name for video in made[:2]] == ["00000", "00001"]
    for number, (video, key) in enumerate(zip(made, batch.keys, strict=True)):
        frames = pixels(video)
        assert np.array_equal(frames[0], np.asarray(dataset.videos[key.video].frame(key.first_frame)))
        assert_close(frames[1:], generated[number])
        assert column(video, "inferred_action").tolist() == rollout.actions[number].argmax(dim=-1).tolist()
        means = rollout.inferred_actions.directions.mean[number].numpy()
        np.testing.assert_allclose(column(video, "encoded_action"), means, atol=1e-3)
        assert not video.annotations.actions_are_known


def test_directions_are_sampled_and_tell_the_action(folder: Path) -> None:
    variance = 0.08
    config = configured(folder, variance=variance)
    model = new_model(config, variance)
    gaussian = rolled_out(config, model, sequences_of(config)[1]).inferred_actions.directions
    made = videos(built(config) / "test")
    directions = np.stack([column(video, "encoded_action") for video in made])
    noise = (directions - gaussian.mean.numpy()) / np.sqrt(2 * variance)
    assert noise.std() == pytest.approx(1, abs=0.15)
    assert len(np.unique(noise.round(4))) == noise.size
    classifier = model.action_network[0].final_fc
    logits = classifier(torch.from_numpy(directions).float())  # type: ignore[operator]
    actions = np.stack([column(video, "inferred_action") for video in made])
    assert len(np.unique(actions)) > 1
    assert actions.tolist() == logits.argmax(dim=-1).tolist()


def test_a_sequence_does_not_depend_on_those_beside_it(folder: Path) -> None:
    """An ensemble's networks would be drawn per batch."""

    def of(config: Configuration) -> dict[SequenceKey, Video]:
        dataset, _ = sequences_of(config)
        keys = evaluation_keys(dataset, T, config.evaluation_dataset.max_sequences)
        return dict(zip(keys, videos(built(config) / "test"), strict=True))

    ensemble = "model.action_network.ensamble_size=3"
    expected = of(configured(folder, ensemble, "evaluation.batching.batch_size=4", variance=0.1))
    for name, *overrides in (
        ("alone", "evaluation_dataset.max_sequences=5", "evaluation.batching.batch_size=1"),
        ("all", "evaluation.batching.batch_size=18"),
        ("few", "evaluation_dataset.max_sequences=7", "evaluation.batching.batch_size=3"),
    ):
        found = of(configured(folder, f"logging.run_name={name}", ensemble, *overrides, variance=0.1))
        assert len(found) == {"alone": 5, "few": 7, "all": NUM_SEQUENCES}[name]
        for key, video in found.items():
            assert_close(pixels(video), pixels(expected[key]))
            for entry in ("inferred_action", "encoded_action"):
                np.testing.assert_allclose(column(video, entry), column(expected[key], entry), atol=1e-3)


def test_the_seed_decides_the_noise(folder: Path) -> None:
    settings = ("evaluation_dataset.max_sequences=3", "evaluation.batching.batch_size=3")
    one, other = (
        [column(video, "encoded_action") for video in videos(built(config) / "test")]
        for config in (configured(folder, *settings, f"training.seed={seed}", variance=0.1) for seed in (0, 1))
    )
    assert np.abs(np.subtract(one, other)).min() > 1e-4


def test_the_random_state_is_left_alone(folder: Path) -> None:
    config = configured(folder)
    _, batch = sequences_of(config)
    model = new_model(config)
    random_state = torch.get_rng_state()
    reconstruct(model, batch, config)
    assert torch.equal(torch.get_rng_state(), random_state)


def test_each_action_is_repeated_from_the_same_starts(folder: Path) -> None:
    config = configured(folder)
    root = built(config)
    dataset, _ = sequences_of(config)
    starts = evaluation_keys(dataset, 1, NUM_STARTS)
    simulator = Simulator(new_model(config))
    assert sorted(path.name for path in (root / "actions").iterdir()) == ["1", "2", "3"]
    for action in range(3):
        moment = simulator.start(dataset[starts].frames)
        frames = [moment.frames]
        for _ in range(NUM_REPETITIONS):
            moment = simulator.step(moment, np.full(NUM_STARTS, action))
            frames.append(moment.frames)
        made = videos(root / "actions" / f"{action + 1}")
        assert [video.path.name for video in made] == [f"{start:05d}" for start in range(NUM_STARTS)]
        for start, video in enumerate(made):
            assert_close(pixels(video), np.stack(frames)[:, start])
            first = dataset.videos[starts[start].video].frame(starts[start].first_frame)
            assert np.array_equal(pixels(video)[0], np.asarray(first))


def test_the_description(folder: Path) -> None:
    config = configured(folder, "evaluation.batching.skip_frames=1", "evaluation_dataset.max_sequences=5")
    build = Build.read(built(config))
    assert build
    assert (build.run_name, build.layout, build.format_version) == ("square", "ours", 1)
    assert (build.observations_count, build.ground_truth_observations, build.skip_frames) == (T, 1, 1)
    assert (build.max_sequences, build.num_sequences) == (5, 5)
    assert build.checkpoint_sha256 == digest(config.logging.save_directory / LATEST)
    assert build.configuration == config.model_dump(mode="json")


def test_frames_are_read_when_needed_and_written_batch_by_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(folder, "data.cache=memory", "evaluation.batching.batch_size=5")
    monkeypatch.setattr("dataset.frame_cache._decode_to_memory", pytest.fail)
    written: list[int] = []
    read = VideoDataset.__getitem__

    def counted(self: VideoDataset, keys: list[SequenceKey]) -> Samples:
        if keys[0].observations_count == T:
            written.append(len(list(root_of(config).parent.glob(".evaluation_dataset.unfinished/test/*"))))
        return read(self, keys)

    monkeypatch.setattr(VideoDataset, "__getitem__", counted)
    built(config)
    _, *written_before = written  # first of all, one sequence is read to see whether the crop fits
    assert len(written_before) == 4
    for batch, num_sequences in enumerate(written_before):
        assert 5 * max(0, batch - BATCHES_AHEAD) <= num_sequences <= 5 * batch


# The authors' layout


def test_the_authors_layout_says_the_same(folder: Path) -> None:
    ours = configured(folder)
    theirs = configured(folder, "logging.run_name=theirs")
    built(ours)
    built(theirs, layout="authors")
    for name in ("test", "actions/2"):
        for video, same in zip(videos(root_of(ours) / name), videos(root_of(theirs) / name), strict=True):
            assert same.annotations == video.annotations
            assert np.array_equal(pixels(same), pixels(video))
            pickles = {path.stem: path for path in same.path.iterdir() if path.suffix != ".png"}
            assert pickles.keys() == {"actions", "rewards", "metadata", "dones"}
            assert all(path.suffix == ".pkl" for path in pickles.values())
            for field in ("actions", "rewards", "dones"):
                assert restricted_pickle.load(pickles[field]) == [None] * len(video)
            operations = {operation.name for operation, *_ in pickletools.genops(pickles["metadata"].read_bytes())}
            assert not operations & {"GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"}
    build = Build.read(root_of(theirs))
    assert build
    assert build.layout == "authors"


def test_known_annotations_survive_a_conversion(folder: Path) -> None:
    path = folder / "data" / "test" / "00000"
    before = Video(path).annotations
    for _ in range(2):
        convert_to_authors_layout(path)
        assert not (path / "annotations.json").exists()
        assert Video(path).annotations == before


# Interrupted


class Killed(BaseException):
    """Stands for the end of the process."""


def killed(config: Configuration, owner: object, method: str, call: int, **options: Any) -> None:
    """Build, and leave behind what was on the disk when a method was called for the n-th time, as a kill does."""
    results, left = config.logging.output_directory, config.logging.output_directory.with_name("left")
    original: Callable[..., Any] = getattr(owner, method)
    calls = 0

    def counted(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            shutil.copytree(results, left)
            raise Killed
        return original(*arguments, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, method, counted)
        with pytest.raises(Killed):
            built(config, **options)
    shutil.rmtree(results)
    left.rename(results)


NUM_VIDEOS = NUM_DEMONSTRATIONS + 5


@pytest.mark.parametrize(
    ("owner", "method", "call"),
    [
        (VideoWriter, "append", 1),
        (VideoWriter, "append", 2 * (NUM_REPETITIONS + 1) + 3),
        (VideoWriter, "append", FIRST_FRAME + T + 1),
        (VideoWriter, "append", FIRST_FRAME + 5 * T - 1),
        (Path, "rename", 3),
        (Path, "write_bytes", 3),
        (Path, "write_bytes", 4 * 7 + 1),
        (Path, "rename", NUM_VIDEOS + 1),
    ],
)
def test_a_killed_build_goes_on_to_the_same_end(folder: Path, owner: type, method: str, call: int) -> None:
    settings = ("evaluation_dataset.max_sequences=5", "evaluation.batching.batch_size=3")
    config = configured(folder, *settings, variance=0.1)
    results = config.logging.output_directory
    built(config, layout="authors")
    expected = files(results)
    shutil.rmtree(results)

    killed(config, owner, method, call, layout="authors")
    assert not root_of(config).exists()
    built(config, layout="authors")
    assert files(results) == expected


def test_what_is_done_is_not_done_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(folder, "evaluation_dataset.max_sequences=5")
    killed(config, VideoWriter, "append", FIRST_FRAME + 3 * T + 1)
    appended = []
    append = VideoWriter.append

    def counted(self: VideoWriter, *arguments: Any, **keywords: Any) -> None:
        appended.append(self.path.name)
        append(self, *arguments, **keywords)

    monkeypatch.setattr(VideoWriter, "append", counted)
    built(config)
    assert appended == ["00003"] * T + ["00004"] * T
    assert "continuing after 3 of 5 sequences" in capsys.readouterr().out


@pytest.mark.parametrize("call", [NUM_VIDEOS - 2, NUM_VIDEOS + 1, NUM_VIDEOS + 2])
def test_an_older_data_set_is_replaced_by_a_whole_one_only(folder: Path, call: int) -> None:
    """The last call is between the two renames: the old one is set aside, the new one is not in its place yet."""
    old = configured(folder, "evaluation_dataset.max_sequences=3")
    new = configured(folder, "evaluation_dataset.max_sequences=5")
    root = built(new)
    expected = files(root.parent)
    built(old, force=True)
    before = files(root)

    killed(new, Path, "rename", call)
    if call == NUM_VIDEOS + 2:
        assert not root.exists()
    else:
        assert files(root) == before
    built(new)
    assert files(root.parent) == expected


def test_a_build_begun_otherwise_is_begun_anew(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(folder, "evaluation_dataset.max_sequences=5", variance=0.1)
    expected = files(built(config))
    shutil.rmtree(root_of(config))
    other = configured(folder, "evaluation_dataset.max_sequences=5", "training.seed=1", variance=0.1)
    killed(other, VideoWriter, "append", FIRST_FRAME + 3 * T)
    capsys.readouterr()
    assert files(built(config)) == expected
    told = capsys.readouterr().out
    assert "the build that was interrupted is begun anew, since this changed: training.seed: 1 -> 0" in told
    assert "continuing" not in told


def test_a_build_that_is_being_removed_is_not_continued(folder: Path) -> None:
    config = configured(folder, "evaluation_dataset.max_sequences=5")
    expected = files(built(config))
    unfinished = root_of(config).rename(root_of(config).with_name(".evaluation_dataset.unfinished"))
    killed(config, shutil, "rmtree", 1, force=True)
    (unfinished / "test" / "00000" / "00001.png").unlink()
    assert files(built(config)) == expected


# Built again


def described(config: Configuration) -> Build:
    checkpoint = config.logging.save_directory / LATEST
    return Build.of(config, open_split(config, "test", config.evaluation.batching), checkpoint, "ours")


def rebuilt(config: Configuration, capsys: pytest.CaptureFixture[str], **options: Any) -> str:
    """Why a data set is built again; empty if it is not."""
    capsys.readouterr()
    before = (root_of(config) / "build.json").stat().st_ino
    built(config, **options)
    told = capsys.readouterr().out
    is_new = (root_of(config) / "build.json").stat().st_ino != before
    assert is_new == ("is built again, since this changed: " in told)
    assert is_new != ("is complete" in told)
    return told.partition("since this changed: ")[2].partition("\n")[0]


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("evaluation_dataset.max_sequences=4", "evaluation_dataset.max_sequences: 3 -> 4"),
        ("evaluation_dataset.ground_truth_observations_init=2", "ground_truth_observations_init: 1 -> 2"),
        ("evaluation.batching.observations_count=5", "evaluation.batching.observations_count: 4 -> 5"),
        ("evaluation.batching.skip_frames=1", "evaluation.batching.skip_frames: 0 -> 1"),
        ("training.seed=3", "training.seed: 0 -> 3"),
        ("training.use_ground_truth_actions=true", "training.use_ground_truth_actions: False -> True"),
        ("model.action_network.use_variations=false", "model.action_network.use_variations: True -> False"),
        ("data.crop=[0, 0, 16, 16]", "data.crop: [0, 0, 32, 32] -> [0, 0, 16, 16]"),
    ],
)
def test_a_changed_configuration(folder: Path, override: str, reason: str) -> None:
    before, now = (
        described(configured(folder, "evaluation_dataset.max_sequences=3", *overrides))
        for overrides in ((), (override,))
    )
    assert reason in ", ".join(now.changes_since(before))
    assert now.changes_since(now) == before.changes_since(before) == []


def test_what_does_not_matter(folder: Path) -> None:
    settings = ("evaluation.batching.batch_size=7", "data.cache=disk", "training.max_steps=99", "logging.log_freq=3")
    before, now = (described(configured(folder, *overrides)) for overrides in ((), settings))
    assert now.configuration != before.configuration
    assert now.changes_since(before) == []


def test_changed_sources(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    built(configured(folder, "evaluation_dataset.max_sequences=2"))
    config = square_configuration(folder, "evaluation_dataset.max_sequences=3")
    assert rebuilt(config, capsys) == "evaluation_dataset.max_sequences: 2 -> 3"
    frame = folder / "data" / "test" / "00001" / "00003.png"
    frame.write_bytes((frame.parent / "00000.png").read_bytes())
    assert rebuilt(config, capsys) == "the videos of the test split"
    save_checkpoint(config.logging.save_directory / LATEST, {"model": new_model(config, variance=0.3).state_dict()})
    assert rebuilt(config, capsys) == "the checkpoint"
    assert rebuilt(config, capsys, layout="authors") == "the layout"
    assert rebuilt(config, capsys, layout="authors") == ""


def test_force(folder: Path) -> None:
    config = configured(folder, "evaluation_dataset.max_sequences=3")
    root = built(config)
    expected = files(root)
    (root / "test" / "00001" / "00000.png").write_bytes(b"")
    (root / "build.json").write_text("{")
    assert files(built(config, force=True)) == expected

    killed(config, VideoWriter, "append", FIRST_FRAME + 2 * T, force=True)
    frame = root.with_name(".evaluation_dataset.unfinished") / "test" / "00000" / "00001.png"
    frame.write_bytes(b"")
    assert files(built(config, force=True)) == expected


# Refused


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "{",
        lambda _: "[]",
        lambda build: json.dumps({**build, "format_version": 2}),
        lambda build: json.dumps({**build, "num_sequences": "3"}),
        lambda build: json.dumps({key: value for key, value in build.items() if key != "checkpoint_sha256"}),
    ],
)
def test_a_damaged_description(folder: Path, damage: Callable[[dict[str, Any]], str]) -> None:
    config = configured(folder, "evaluation_dataset.max_sequences=3")
    path = built(config) / "build.json"
    path.write_text(damage(json.loads(path.read_text())))
    with pytest.raises(UserError, match=r"build\.json: cannot be read \(damaged, or written by another version\); "):
        built(config)


def test_no_description(tmp_path: Path) -> None:
    assert Build.read(tmp_path) is None
    assert Build.read(tmp_path / "nowhere") is None


@pytest.mark.parametrize("weight", ["rendering_network.final_blocks.2.conv.bias", "action_network.0.mean_fc.bias"])
def test_values_that_are_not_finite(folder: Path, weight: str) -> None:
    config = configured(folder)
    weights = new_model(config).state_dict()
    weights[weight][:] = float("nan")
    save_checkpoint(config.logging.save_directory / LATEST, {"model": weights})
    with pytest.raises(UserError, match=r"latest\.pth\.tar: the model generates values that are not finite"):
        built(config)
    assert not root_of(config).exists()
