import itertools
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from time import monotonic, sleep

import numpy as np
import pytest
import torch

from dataset.batching import (
    Batch,
    TrainingSampler,
    evaluation_keys,
    in_batches,
    make_loader,
)
from dataset.video import Video, VideoError
from dataset.video_dataset import Samples, SequenceKey, VideoDataset
from tests.processes import DEADLINE

MakeVideos = Callable[..., list[Video]]
LENGTHS = (9, 16, 4, 12, 7)


def make_dataset(videos: list[Video], stacking: int = 1, skip_frames: int = 0, cache: str = "none") -> VideoDataset:
    return VideoDataset(
        videos,
        crop=[0, 0, 12, 10],
        size=[12, 10],
        observations_count=4,
        skip_frames=skip_frames,
        observation_stacking=stacking,
        cache=cache,  # type: ignore[arg-type]
    )


@pytest.fixture
def dataset(make_videos: MakeVideos) -> VideoDataset:
    return make_dataset(make_videos(*LENGTHS))


def growing(step: int) -> int:
    return 2 + min(step // 6, 2)


def up_and_down(step: int) -> int:
    return (2, 4, 3)[step // 5 % 3]


def take(sampler: TrainingSampler, num_batches: int) -> list[list[SequenceKey]]:
    return list(itertools.islice(sampler, num_batches))


# Batch


@pytest.mark.parametrize(("stacking", "skip_frames"), [(1, 0), (2, 0), (4, 1)])
def test_observations_agree_with_a_slow_reference(make_videos: MakeVideos, stacking: int, skip_frames: int) -> None:
    dataset = make_dataset(make_videos(*LENGTHS), stacking, skip_frames)
    keys = [dataset.sequence(index, 3) for index in (0, 1, 7)]
    samples = dataset[keys]
    batch = Batch.of(samples)
    observations = batch.observations()

    assert batch.frames.shape == (3, 3 + stacking - 1, 3, 10, 12)
    assert observations.shape == (3, 3, 3 * stacking, 10, 12)
    assert observations.dtype == torch.float32
    for frames, of_sample in zip(samples.frames, observations, strict=True):
        for time, observation in enumerate(of_sample):
            newest_first = reversed(range(time, time + stacking))
            planes = np.concatenate([frames[index].transpose(2, 0, 1) for index in newest_first])
            np.testing.assert_allclose(observation, planes / np.float32(127.5) - 1, atol=1e-6)


def test_frames_and_observations_are_channels_last_in_memory(dataset: VideoDataset) -> None:
    batch = Batch.of(dataset[[SequenceKey(0, 0, 3), SequenceKey(1, 2, 3)]])

    assert batch.frames.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    time_major = batch.observations().transpose(0, 1)
    assert time_major.flatten(0, 1).data_ptr() == time_major.data_ptr()
    assert time_major.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


def test_a_batch_moves_as_a_whole(dataset: VideoDataset) -> None:
    batch = Batch.of(dataset[[SequenceKey(0, 0, 3)]])
    moved = batch.to("meta")

    assert isinstance(moved, Batch)
    assert moved.keys == batch.keys
    for name, tensor in vars(moved).items():
        assert name == "keys" or tensor.device.type == "meta"


def test_annotations_are_stacked(dataset: VideoDataset) -> None:
    batch = Batch.of(dataset[[SequenceKey(0, 0, 3), SequenceKey(1, 2, 3)]])

    assert batch.actions.tolist() == [[0, 1, 2], [102, 103, 104]]
    assert batch.rewards.tolist() == [[0.0, 0.5, 1.0], [1.0, 1.5, 2.0]]
    assert batch.dones.tolist() == [[False] * 3] * 2
    assert batch.positions is not None
    assert batch.positions.tolist() == [[[0, 0], [0, 1], [0, 2]], [[1, 2], [1, 3], [1, 4]]]


# The training order


def test_each_epoch_visits_every_sequence_once(dataset: VideoDataset) -> None:
    num_sequences = dataset.num_sequences(3)
    batches = take(TrainingSampler(dataset, 7, lambda _: 3, seed=0), num_sequences)
    keys = list(itertools.chain.from_iterable(batches))
    epochs = [keys[first : first + num_sequences] for first in range(0, 7 * num_sequences, num_sequences)]

    everything = [dataset.sequence(index, 3) for index in range(num_sequences)]
    assert {len(batch) for batch in batches} == {7}
    assert all(sorted(epoch) == everything for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == len(epochs)


def test_the_seed_decides_the_order(dataset: VideoDataset) -> None:
    first, again, other = (take(TrainingSampler(dataset, 4, growing, seed), 9) for seed in (5, 5, 6))

    assert first == again
    assert first != other


def test_a_change_of_length_goes_on_in_the_same_epoch(dataset: VideoDataset) -> None:
    order = np.random.default_rng((3, 0)).permutation(dataset.num_frames)
    ahead = dataset.frames_ahead()
    keys = itertools.chain.from_iterable(TrainingSampler(dataset, 2, up_and_down, seed=3))

    position = 0
    for step in range(1, 12):
        for _ in range(2):
            while ahead[order[position]] < up_and_down(step):
                position += 1
            assert next(keys) == dataset.sequence_at(order[position], up_and_down(step))
            position += 1


def test_a_batch_may_be_larger_than_an_epoch(make_videos: MakeVideos) -> None:
    sampler = TrainingSampler(make_dataset(make_videos(5)), 7, lambda _: 4, seed=0)

    assert [key.first_frame for key in take(sampler, 1)[0]].count(0) in (3, 4)


@pytest.mark.parametrize("schedule", [growing, up_and_down])
def test_resuming_gives_the_batches_of_an_uninterrupted_run(
    dataset: VideoDataset, schedule: Callable[[int], int]
) -> None:
    uninterrupted = take(TrainingSampler(dataset, 5, schedule, seed=1), 120)

    for first_step in range(1, 101):
        resumed = take(TrainingSampler(dataset, 5, schedule, seed=1, first_step=first_step), 20)
        assert resumed == uninterrupted[first_step - 1 : first_step + 19]


# Evaluation


def test_evaluation_keys_are_all_sequences_or_evenly_spread(dataset: VideoDataset) -> None:
    num_sequences = dataset.num_sequences(3)
    everything = [dataset.sequence(index, 3) for index in range(num_sequences)]

    assert evaluation_keys(dataset, 3) == everything
    assert evaluation_keys(dataset, 3, max_sequences=1000) == everything
    for count in range(1, num_sequences):
        keys = evaluation_keys(dataset, 3, max_sequences=count)
        steps = np.diff([everything.index(key) for key in keys] + [num_sequences])
        assert len(keys) == count
        assert keys[0] == everything[0]
        assert steps.max() - steps.min() <= 1


def test_keys_are_grouped_with_a_smaller_rest(dataset: VideoDataset) -> None:
    keys = evaluation_keys(dataset, 3, max_sequences=7)

    assert [len(batch) for batch in in_batches(keys, 3)] == [3, 3, 1]
    assert list(itertools.chain.from_iterable(in_batches(keys, 3))) == keys


# The loader


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_loaded_batches_do_not_depend_on_workers_cache_or_resuming(
    make_videos: MakeVideos, cache: str, num_workers: int
) -> None:
    videos = make_videos(*LENGTHS)
    plain = make_dataset(videos, stacking=2)
    expected = [Batch.of(plain[keys]) for keys in take(TrainingSampler(plain, 3, growing, 0), 17)]

    dataset = make_dataset(videos, stacking=2, cache=cache)
    for first_step in (1, 8):
        loader = make_loader(dataset, TrainingSampler(dataset, 3, growing, 0, first_step), num_workers)
        for batch, same in zip(loader, expected[first_step - 1 :], strict=False):
            assert batch.keys == same.keys
            assert torch.equal(batch.frames, same.frames)
            assert torch.equal(batch.actions, same.actions)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_loader_can_be_iterated_again(dataset: VideoDataset, num_workers: int) -> None:
    batches = in_batches(evaluation_keys(dataset, 4), 8)
    loader = make_loader(dataset, batches, num_workers)

    next(iter(loader))
    for _ in range(2):
        assert [batch.keys for batch in loader] == batches


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_unreadable_frame_is_one_line(make_videos: MakeVideos, num_workers: int) -> None:
    videos = make_videos(6, 6)
    (videos[1].path / "00003.png").write_bytes(b"torn")
    dataset = make_dataset(videos)

    before = multiprocessing.active_children()
    with pytest.raises(VideoError) as caught:
        list(make_loader(dataset, in_batches(evaluation_keys(dataset, 4), 2), num_workers))
    assert multiprocessing.active_children() == before
    assert "00003.png" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_signals_to_the_process_group_do_not_reach_workers(dataset: VideoDataset) -> None:
    loaded = iter(make_loader(dataset, TrainingSampler(dataset, 2, growing, 0), num_workers=1))
    next(loaded)
    workers = [worker.pid for worker in multiprocessing.active_children() if worker.pid]

    assert workers
    assert all(os.getpgid(worker) == worker for worker in workers)


@pytest.mark.parametrize("num_batches", [1, 1000])
def test_workers_end_with_the_iteration(dataset: VideoDataset, num_batches: int) -> None:
    before = multiprocessing.active_children()
    for _ in itertools.islice(make_loader(dataset, in_batches(evaluation_keys(dataset, 2), 1), 2), num_batches):
        pass

    assert multiprocessing.active_children() == before


@pytest.mark.parametrize(("cache", "num_workers"), [("none", 2), ("memory", 0), ("disk", 0)])
def test_workers_are_for_frames_that_have_to_be_decoded(make_videos: MakeVideos, cache: str, num_workers: int) -> None:
    dataset = make_dataset(make_videos(6), cache=cache)
    before = len(multiprocessing.active_children())
    for _ in itertools.islice(make_loader(dataset, in_batches(evaluation_keys(dataset, 2), 1), 2), 1):
        assert len(multiprocessing.active_children()) == before + num_workers


class Recording:
    """A data set that notes what is read of it."""

    is_decoded = False

    def __init__(self, dataset: VideoDataset) -> None:
        self.dataset = dataset
        self.read: list[Sequence[SequenceKey]] = []

    def __getitem__(self, keys: Sequence[SequenceKey]) -> Samples:
        self.read.append(keys)
        return self.dataset[keys]


def reading_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_a_thread_reads_two_batches_ahead_and_no_more(dataset: VideoDataset) -> None:
    recording = Recording(dataset)
    batches = in_batches(evaluation_keys(dataset, 2), 1)
    loaded = iter(make_loader(recording, batches))
    for num_used in range(1, 5):
        assert next(loaded).keys == batches[num_used - 1]
        start = monotonic()
        while len(recording.read) < num_used + 2:
            assert monotonic() < start + DEADLINE
            sleep(0.001)
    sleep(0.05)
    assert recording.read == batches[: 4 + 2]
    assert len(reading_threads()) == 1


@pytest.mark.parametrize("num_batches", [1, 1000])
def test_the_thread_ends_with_the_iteration(dataset: VideoDataset, num_batches: int) -> None:
    for _ in itertools.islice(make_loader(dataset, in_batches(evaluation_keys(dataset, 2), 1)), num_batches):
        assert reading_threads()
    assert not reading_threads()


def test_batches_before_an_unreadable_frame_are_had(make_videos: MakeVideos) -> None:
    videos = make_videos(6, 6)
    (videos[1].path / "00003.png").write_bytes(b"torn")
    dataset = make_dataset(videos)
    batches = in_batches(evaluation_keys(dataset, 4), 2)
    loaded = iter(make_loader(dataset, batches))
    assert next(loaded).keys == batches[0]
    with pytest.raises(VideoError):
        list(loaded)
    assert not reading_threads()


def test_what_planning_raises_comes_through(dataset: VideoDataset) -> None:
    def plan() -> Iterator[list[SequenceKey]]:
        yield [SequenceKey(0, 0, 2)]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(make_loader(dataset, plan()))
    assert not reading_threads()


@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_global_random_state_is_left_alone(dataset: VideoDataset, num_workers: int) -> None:
    state = torch.get_rng_state()
    next(iter(make_loader(dataset, TrainingSampler(dataset, 2, growing, 0), num_workers)))

    assert torch.equal(torch.get_rng_state(), state)


def test_a_dataset_with_frames_on_disk_is_small_to_send(make_videos: MakeVideos) -> None:
    dataset = make_dataset(make_videos(60, 60), cache="disk")
    copy: VideoDataset = pickle.loads(pickle.dumps(dataset))

    assert len(pickle.dumps(dataset)) < dataset[[SequenceKey(0, 0, 60)]].frames.nbytes
    assert np.array_equal(copy[[SequenceKey(1, 3, 4)]].frames, dataset[[SequenceKey(1, 3, 4)]].frames)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("num_workers", [0, 1])
def test_batches_for_cuda_come_in_pinned_memory(dataset: VideoDataset, num_workers: int) -> None:
    keys = evaluation_keys(dataset, 3, max_sequences=4)
    (batch,) = make_loader(dataset, [keys], num_workers, "cuda")

    assert batch.frames.is_pinned()
    assert batch.frames.stride() == Batch.of(dataset[keys]).frames.stride()
    assert torch.equal(batch.to("cuda").observations().cpu(), batch.observations())
