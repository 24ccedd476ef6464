import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dataset.video import Video
from evaluation.dataset_builder import Build
from evaluation.sequence_pairs import SequencePairs
from tests.generated import ERROR, INFERRED, LENGTH, NUM_SEQUENCES, STARTS, T, evaluation_configuration, write_data
from utils.command import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_data(tmp_path)
    return tmp_path


def write_build(folder: Path, **changes: object) -> None:
    build = {
        "run_name": "square",
        "checkpoint_sha256": "abc",
        "configuration": {},
        "observations_count": T,
        "ground_truth_observations": 1,
        "skip_frames": 0,
        "max_sequences": None,
        "num_sequences": NUM_SEQUENCES,
        "data_fingerprint": "",
        "layout": "ours",
    }
    Build(**(build | changes)).write(folder / "generated")  # type: ignore[arg-type]


def test_every_sequence_meets_the_one_that_was_generated_from_it(folder: Path) -> None:
    pairs = SequencePairs(evaluation_configuration(folder))
    batches = list(pairs)
    assert len(pairs) == NUM_SEQUENCES
    assert [len(batch.names) for batch in batches] == [2, 2, 2, 2, 1]
    names = [name for batch in batches for name in batch.names]
    assert names == [f"{video:05d}, from frame {start}" for video in range(3) for start in range(STARTS)]

    reference, generated = (
        np.concatenate([getattr(batch, side) for batch in batches]) for side in ("reference", "generated")
    )
    assert reference.shape == generated.shape == (NUM_SEQUENCES, T, 32, 32, 3)
    np.testing.assert_array_equal(generated[:, 0], reference[:, 0])
    np.testing.assert_array_equal(generated[:, 1:], reference[:, 1:] - np.minimum(reference[:, 1:], ERROR))
    np.testing.assert_array_equal(reference[STARTS + 1, 2], np.asarray(Video(folder / "data/test/00001").frame(3)))

    inferred, true = (
        np.concatenate([getattr(batch, name) for batch in batches]) for name in ("inferred_actions", "true_actions")
    )
    np.testing.assert_array_equal(inferred, INFERRED[true])
    assert true.shape == (NUM_SEQUENCES, T - 1)
    assert batches[0].reference_metadata[1][2] == Video(folder / "data/test/00000").annotations.metadata[3]
    assert batches[0].generated_metadata[1][T - 1] == {}


def test_frames_may_be_left_out_between_those_of_a_sequence(folder: Path) -> None:
    shutil.rmtree(folder / "generated/test")
    for video in range(3):
        shutil.copytree(folder / "data/test" / f"{video:05d}", folder / "generated/test" / f"{video:05d}")
        annotations = folder / "generated/test" / f"{video:05d}" / "annotations.json"
        stored = json.loads(annotations.read_text())
        stored["metadata"] = [{"inferred_action": 0}] * LENGTH
        annotations.write_text(json.dumps(stored))
    config = evaluation_configuration(
        folder, "evaluation.batching.skip_frames=1", "evaluation.batching.observations_count=3"
    )
    with pytest.raises(UserError, match=r"generated: 12 sequences of 3 frames, but .*/data has 6"):
        SequencePairs(config)

    write_build(folder, observations_count=3)
    with pytest.raises(UserError, match=r"sequences of 3 frames with skip_frames 0, but .* asks for 3 and 1"):
        SequencePairs(config)


def test_a_build_of_fewer_sequences_says_which(folder: Path) -> None:
    for number in range(NUM_SEQUENCES):
        if number not in (0, 4):
            shutil.rmtree(folder / "generated/test" / f"{number:05d}")
    with pytest.raises(UserError, match="2 sequences of 4 frames"):
        SequencePairs(evaluation_configuration(folder))
    write_build(folder, max_sequences=2)
    (batch,) = SequencePairs(evaluation_configuration(folder))
    assert batch.names == ["00000, from frame 0", "00001, from frame 1"]
    np.testing.assert_array_equal(batch.generated[:, 0], batch.reference[:, 0])


def test_data_sets_without_a_folder_for_the_split(folder: Path) -> None:
    config = evaluation_configuration(
        folder, f"reference_data.data_root={folder}/data/test", f"generated_data.data_root={folder}/generated/test"
    )
    assert len(SequencePairs(config)) == NUM_SEQUENCES


def test_a_data_set_without_the_split_is_told_what_it_has(folder: Path) -> None:
    (folder / "data/test").rename(folder / "data/train")
    with pytest.raises(UserError, match="no videos of the split 'test' there; found train in"):
        SequencePairs(evaluation_configuration(folder))


def test_typical_frames_are_from_all_videos(folder: Path) -> None:
    frames = SequencePairs(evaluation_configuration(folder)).typical_frames(3)
    first_frames = [np.asarray(Video(folder / "data/test" / f"{video:05d}").frame(0)) for video in range(3)]
    np.testing.assert_array_equal(frames, first_frames)


def test_true_actions_are_known_if_they_are_and_the_configuration_says_so(folder: Path) -> None:
    assert SequencePairs(evaluation_configuration(folder)).knows_actions
    assert not SequencePairs(evaluation_configuration(folder, "data.ground_truth_available=false")).knows_actions
    (folder / "data/test/00001/annotations.json").unlink()
    assert not SequencePairs(evaluation_configuration(folder)).knows_actions


@pytest.mark.parametrize("action", [None, 3, -1, 1.0, "left"])
def test_actions_that_no_builder_wrote(folder: Path, action: object) -> None:
    annotations = folder / "generated/test/00003/annotations.json"
    stored = json.loads(annotations.read_text())
    stored["metadata"][1] = {"inferred_action": action}
    annotations.write_text(json.dumps(stored))
    with pytest.raises(UserError, match=r"generated/test/00003: 'inferred_action' .* below data.actions_count \(3\)"):
        list(SequencePairs(evaluation_configuration(folder)))
