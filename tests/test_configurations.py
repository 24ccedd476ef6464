"""The shipped configurations, the authors' form of them, and what is said of files that cannot be used."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.configurations import AUTHORS_CONFIGURATIONS, published_configuration
from utils.configuration import load_configuration, parse_configuration
from utils.sections import RETIRED_KEYS, ConfigurationError, flatten

REPOSITORY = Path(__file__).parent.parent
SHIPPED = sorted((REPOSITORY / "configs").glob("0*.yaml"))

COMMON: dict[str, Any] = {
    "model.representation_network.state_features": 64,
    "model.action_network.use_gumbel": True,
    "model.action_network.hard_gumbel": False,
    "model.action_network.ensamble_size": 1,
    "model.action_network.use_variations": True,
    "model.centroid_estimator.alpha": 0.1,
    "training.learning_rate": 4e-4,
    "training.weight_decay": 1e-6,
    "training.lr_gamma": 0.3333,
    "training.max_steps": 300_000,
    "training.save_freq": 3000,
    "training.max_steps_per_epoch": 10_000,
    "training.ground_truth_observations_start": 6,
    "training.ground_truth_observations_end": 6,
    "training.gumbel_temperature_start": 1.0,
    "training.gumbel_temperature_end": 0.4,
    "training.gumbel_temperature_steps": 20_000,
    "training.mutual_information_estimation_alpha": 0.2,
    "training.action_mutual_information_entropy_lambda": 1.0,
    "training.use_motion_weights": False,
    "training.motion_weights_source": "truth_and_reconstruction",
    "training.action_direction_plotting_freq": 1000,
    "training.loss_weights.reconstruction_loss_lambda": 1.0,
    "training.loss_weights.perceptual_loss_lambda": 1.0,
    "training.loss_weights.perceptual_level_weights": [1.0, 2.0, 2.0, 2.0, 2.0],
    "training.loss_weights.states_rec_lambda": 0.2,
    "training.loss_weights.hidden_states_rec_lambda_pretraining": 1.0,
    "training.loss_weights.entropy_lambda": 0.0,
    "training.loss_weights.action_directions_kl_lambda": 1e-4,
    "evaluation.eval_freq": 8000,
    "evaluation.batching.skip_frames": 0,
    "evaluation_dataset.ground_truth_observations_init": 4,
    # What this project adds is off.
    "model.width_multiplier": 1.0,
    "model.action_network.initial_direction_variance": None,
    "model.action_network.initial_classifier_spread": None,
    "training.motion_weights_dilation": 1,
    "training.motion_weights_limit": None,
}

PUBLISHED: dict[str, dict[str, Any]] = {
    "01_bair": {
        "data.data_root": "data/bair_256_ours",
        "data.crop": [0, 0, 256, 256],
        "data.actions_count": 7,
        "model.architecture": "model.main_model.model",
        "model.representation_network.target_input_size": [256, 256],
        "model.representation_network.state_resolution": [32, 32],
        "model.dynamics_network.hidden_state_size": 128,
        "model.action_network.action_space_dimension": 2,
        "training.trainer": "training.smooth_mi_trainer",
        "training.pretraining_steps": 1000,
        "training.batching.batch_size": 8,
        "training.batching.observations_count_start": 7,
        "training.batching.observations_count": 12,
        "training.batching.observations_count_steps": 25_000,
        "training.batching.skip_frames": 0,
        "training.batching.observation_stacking": 1,
        "training.loss_weights.action_mutual_information_lambda": 0.15,
        "training.loss_weights.action_state_distribution_kl_lambda": 0.0,
        "evaluation.batching.batch_size": 8,
        "evaluation.batching.observations_count": 30,
    },
    "02_breakout": {
        "data.data_root": "data/breakout_v2_160_ours",
        "data.crop": [0, 0, 160, 208],
        "data.actions_count": 3,
        "model.architecture": "model.reduced_model.model",
        "model.representation_network.target_input_size": [160, 208],
        "model.representation_network.state_resolution": [26, 20],
        "model.dynamics_network.hidden_state_size": 64,
        "model.action_network.action_space_dimension": 1,
        "training.trainer": "training.smooth_mi_trainer",
        "training.pretraining_steps": 3000,
        "training.batching.batch_size": 8,
        "training.batching.observations_count_start": 7,
        "training.batching.observations_count": 9,
        "training.batching.observations_count_steps": 15_000,
        "training.batching.skip_frames": 0,
        "training.batching.observation_stacking": 1,
        "training.loss_weights.action_mutual_information_lambda": 0.15,
        "training.loss_weights.action_state_distribution_kl_lambda": 0.0,
        "evaluation.batching.batch_size": 16,
        "evaluation.batching.observations_count": 32,
    },
    "03_tennis": {
        "data.data_root": "data/tennis_v4_256_ours",
        "data.crop": [0, 0, 256, 96],
        "data.actions_count": 7,
        "model.architecture": "model.main_model.model",
        "model.representation_network.target_input_size": [256, 96],
        "model.representation_network.state_resolution": [12, 32],
        "model.dynamics_network.hidden_state_size": 128,
        "model.action_network.action_space_dimension": 5,
        "training.trainer": "training.trainer",
        "training.pretraining_steps": 3000,
        "training.batching.batch_size": 6,
        "training.batching.observations_count_start": 7,
        "training.batching.observations_count": 12,
        "training.batching.observations_count_steps": 25_000,
        "training.batching.skip_frames": 4,
        "training.batching.observation_stacking": 4,
        "training.loss_weights.action_mutual_information_lambda": 0.03,
        "training.loss_weights.action_state_distribution_kl_lambda": 1e-5,
        "evaluation.batching.batch_size": 32,
        "evaluation.batching.observations_count": 16,
    },
}


def no_weights(twin: str) -> str:
    """An override that sets all weights of a phase to 0: `_pretraining`, or nothing for the one after it."""
    names = "reconstruction_loss", "perceptual_loss", "states_rec", "action_directions_kl", "action_mutual_information"
    keys = [*(f"{name}_lambda{twin}" for name in names), "hidden_states_rec_lambda_pretraining"]
    return "training.loss_weights={" + ", ".join(f"{key}: 0" for key in keys) + "}"


@pytest.fixture
def text() -> str:
    """A configuration to spoil."""
    return AUTHORS_CONFIGURATIONS["01_bair"].read_text()


def refusal(*overrides: str, path: Path = AUTHORS_CONFIGURATIONS["01_bair"]) -> str:
    """What is said of a file or of overrides that cannot be used: one line."""
    with pytest.raises(ConfigurationError) as error:
        load_configuration(path, list(overrides))
    message = str(error.value)
    assert len(message.splitlines()) == 1
    return message


def refusal_of(text: str, folder: Path) -> str:
    """What is said of a file that holds a text; the file is named."""
    path = folder / "spoilt.yaml"
    path.write_text(text)
    message = refusal(path=path)
    assert message.startswith(f"{path}: ")
    return message


# The files


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configurations_load(path: Path) -> None:
    assert load_configuration(path).logging.run_name == path.stem


def test_the_demo_the_trained_model_and_the_three_published_configurations_are_shipped() -> None:
    assert [path.stem for path in SHIPPED] == ["00_breakout_demo", "00_breakout_play", *PUBLISHED]


def test_one_file_explains_every_key_and_marks_ours() -> None:
    file = REPOSITORY / "configs/02_breakout.yaml"
    comments: dict[str, str] = {}  # by the last part of a key; the first place where it stands counts
    for key, comment in re.findall(r"^ +(\w+): \S.*  # (.+)$", file.read_text(), re.MULTILINE):
        comments.setdefault(key, comment)

    published = flatten(yaml.safe_load(AUTHORS_CONFIGURATIONS["02_breakout"].read_text()))
    published["data.dataset_splits"] = None  # optional, and in none of the authors' files
    stated = flatten(yaml.safe_load(file.read_text()))
    known = flatten(load_configuration(file).model_dump())
    inapplicable = {f"evaluation.batching.observations_count_{name}" for name in ("start", "steps")}

    assert stated.keys() == known.keys() - inapplicable
    for key in stated:
        name = key.split(".")[-1]
        if key.removesuffix("_pretraining") in stated:
            name = name.removesuffix("_pretraining")  # a twin is explained by the other
        assert comments[name].startswith("[ours]") == (key not in published), key


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("form", ["authors", "shipped"])
def test_published_values(name: str, form: str) -> None:
    path = AUTHORS_CONFIGURATIONS[name] if form == "authors" else REPOSITORY / "configs" / f"{name}.yaml"

    values = flatten(load_configuration(path).model_dump())

    expected = COMMON | PUBLISHED[name]
    assert {key: values[key] for key in expected} == expected
    assert 300_000 in values["training.lr_schedule"]
    assert not any(step < 300_000 for step in values["training.lr_schedule"])
    for key, value in values.items():
        twin = f"{key}_pretraining"
        assert values.get(twin, value) == value, f"{twin} differs from {key}"


@pytest.mark.parametrize("key", RETIRED_KEYS)
def test_a_retired_key_does_nothing_and_says_so(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = published_configuration("01_bair", f"{key}=true")

    assert config == published_configuration("01_bair")
    assert capsys.readouterr().out == (
        f"{AUTHORS_CONFIGURATIONS['01_bair']}: {key} does nothing any more, since {RETIRED_KEYS[key]}; remove it\n"
    )
    section, name = key.split(".")
    saved = config.model_dump(mode="json")
    saved[section][name] = True
    assert parse_configuration(saved, "an older checkpoint") == config


@pytest.mark.parametrize(
    ("overrides", "trackers"),
    [
        ((), ["wandb"]),
        (("logging.wandb=true",), ["wandb"]),
        (("logging.wandb=false",), []),
        (("logging.wandb=false", "logging.trackers=[tensorboard]"), ["tensorboard"]),
    ],
)
def test_the_older_name_of_a_tracker(
    overrides: tuple[str, ...], trackers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert published_configuration("01_bair", *overrides).logging.trackers == trackers
    assert ("logging.wandb is an older name; use logging.trackers" in capsys.readouterr().out) == bool(overrides)


def test_trackers_that_do_not_exist() -> None:
    with pytest.raises(ConfigurationError, match="logging: wandb is true or false; write trackers"):
        published_configuration("01_bair", "logging.wandb=maybe")
    with pytest.raises(ConfigurationError, match=r"logging\.trackers.*: Input should be 'wandb' or 'tensorboard'"):
        published_configuration("01_bair", "logging.trackers=[mlflow]")


@pytest.mark.parametrize("path", [*SHIPPED, *AUTHORS_CONFIGURATIONS.values()], ids=str)
def test_what_is_written_loads_back_as_the_same(path: Path, tmp_path: Path) -> None:
    config = load_configuration(path, ["data.dataset_splits=[0.7, 0.2, 0.1]", "training.weight_decay=1e-7"])
    written = tmp_path / "config.yaml"
    written.write_text(config.to_yaml())

    assert load_configuration(written) == config
    assert parse_configuration(config.model_dump(mode="json"), "a checkpoint") == config


def test_configurations_do_not_change() -> None:
    config = published_configuration("01_bair")

    with pytest.raises(ValueError, match="frozen"):
        config.training.seed = 3


# Overrides


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("training.max_steps=500", 500),
        ("training.learning_rate=1e-3", 1e-3),
        ("training.learning_rate=1", 1.0),
        ("training.learning_rate = 2.5e-4", 2.5e-4),
        ("training.use_motion_weights=true", True),
        ("logging.run_name=second", "second"),
        ("logging.run_name='007'", "007"),
        ("logging.output_root=/tmp/a=b", "/tmp/a=b"),
        ("training.lr_schedule=[10, 20]", [10, 20]),
        ("training.loss_weights.perceptual_loss_lambda=[1, 2, 3, 4, 0.5]", [1, 2, 3, 4, 0.5]),
        ("training.motion_weights_limit=null", None),
        ("data.dataset_splits=[0.8, 0.1, 0.1]", [0.8, 0.1, 0.1]),
    ],
)
def test_overrides_are_typed(override: str, value: object) -> None:
    values = flatten(published_configuration("01_bair", override).model_dump())

    assert values[override.split("=")[0].strip()] == value


def test_a_later_override_wins() -> None:
    assert published_configuration("01_bair", "training.seed=1", "training.seed=2").training.seed == 2


def test_an_override_may_replace_a_section() -> None:
    config = published_configuration("01_bair", "training.batching={batch_size: 2, observations_count: 8}")

    assert config.training.batching.batch_size == 2
    assert config.training.batching.observations_count_start is None


@pytest.mark.parametrize(
    "override", ["training.max_steps", "=3", ".=3", "training.max_steps.x=3", "training.seed=[1", "training.seed='"]
)
def test_overrides_that_cannot_be_read_are_quoted(override: str) -> None:
    assert f"--set {override}: " in refusal(override)


@pytest.mark.parametrize(
    "text", ["2024", "3e2", "on", "null", "0x1f", "~", "2024-01-01", "a: b", "{}", "%x", "it's: 1", ""]
)
def test_a_text_that_yaml_takes_for_something_else_is_told_how_to_write(text: str) -> None:
    message = refusal(f"data.data_root={text}")
    command = re.search(r"as text, write (--set .*?)(?:\), not .*|\))?$", message)
    assert command, message
    option, override = shlex.split(command[1])
    assert option == "--set"
    assert published_configuration("01_bair", override).data.data_root == text


def test_a_text_in_a_file_is_told_how_to_write(tmp_path: Path) -> None:
    text = AUTHORS_CONFIGURATIONS["01_bair"].read_text()
    (tmp_path / "year.yaml").write_text(text.replace("run_name: 01_bair", "run_name: 2024"))
    with pytest.raises(ConfigurationError, match=r"logging\.run_name: .* \(put it in quotes\), not 2024"):
        load_configuration(tmp_path / "year.yaml")


# What is wrong with values: each message names the file, the key and what would be right


@pytest.mark.parametrize(
    ("override", "key", "remedy"),
    [
        ("training.learning_rte=1", "training.learning_rte", "did you mean 'learning_rate'"),
        ("training.batchng.batch_size=1", "training.batchng", "did you mean 'batching'"),
        ("training.loss_weights.entropy_lamda=1", "training.loss_weights.entropy_lamda", "'entropy_lambda'"),
        ("zzz=1", "zzz", "unknown key"),
        ("zzz.yyy.xxx=1", "zzz", "unknown key"),
        ("training.learning_rate=fast", "training.learning_rate", "number, not 'fast'"),
        ("training.learning_rate='4e-4'", "training.learning_rate", "number, not '4e-4'"),
        ("training.learning_rate=", "training.learning_rate", "number"),
        ("training.learning_rate=.nan", "training.learning_rate", "finite"),
        ("training.learning_rate=-1", "training.learning_rate", "greater than 0"),
        ("training.max_steps=1.5", "training.max_steps", "integer, not 1.5"),
        ("training.max_steps=true", "training.max_steps", "integer, not True"),
        ("training.use_motion_weights=1", "training.use_motion_weights", "boolean"),
        ("training.lr_schedule=5", "training.lr_schedule", "list"),
        ("training.trainer=os.system", "training.trainer", "'training.smooth_mi_trainer'"),
        ("training.motion_weights_dilation=2", "motion_weights_dilation", "odd"),
        ("training.loss_weights.perceptual_loss_lambda=[1]", "loss_weights.perceptual_loss_lambda: ", "at least 5"),
        ("training.loss_weights.perceptual_loss_lambda=x", "loss_weights.perceptual_loss_lambda: ", "number"),
        ("logging=3", "logging", "dictionary"),
        ("logging.run_name=../elsewhere", "logging.run_name", "pattern"),
        ("model.architecture=os.system", "model.architecture", "'model.main_model.model'"),
        ("model.representation_network.target_input_size=[250, 256]", "target_input_size.0", "multiple of 16"),
        ("model.representation_network.state_resolution=[32, 16]", "state_resolution", "set it to [32, 32]"),
        ("data.crop=[0, 0, 256]", "data.crop", "at least 4"),
        ("data.crop=[9, 0, 9, 256]", "crop", "[left, top, right, bottom]"),
        ("data.action_names=[a, b]", "action_names", "must be 7 names, as many as actions_count"),
        ("data.action_names=[a, b, c, d, e, f, '']", "action_names", "1 to 32 printable characters"),
        ("data.play_region=[0, 0, 64]", "data.play_region", "at least 4"),
        ("data.play_region=[0, 0, 300, 256]", "data.play_region", "does not lie inside data.crop [0, 0, 256, 256]"),
        ("data.play_region=[64, 0, 64, 256]", "data.play_region", "does not lie inside"),
        ("data.play_region=[0, 0, 7, 256]", "data.play_region", "7x256 pixels, and a cell of the state has 8x8"),
        ("training.action_directions_motion_source=x", "action_directions_motion_source", "'things' or 'camera'"),
        ("data.actions_count=1", "data.actions_count", "greater than or equal to 2"),
        ("data.dataset_splits=[0.5, 0.2, 0.2]", "dataset_splits", "must sum to 1"),
        (no_weights("_pretraining"), "loss_weights of the pretraining are 0", "pretraining_steps to 0"),
        (no_weights(""), "after pretraining are 0", "raise one"),
        ("evaluation.ground_truth_observations=30", "ground_truth_observations (30)", "30 observations"),
        ("evaluation_dataset.ground_truth_observations_init=30", "ground_truth_observations_init (30)", "of 30"),
        ("training.batching.observations_count=5", "observations_count_start (7)", "observations_count (5)"),
        ("training.batching.observations_count_start=6", "ground_truth_observations_end (6)", "at most 5"),
        ("training.ground_truth_observations_start=5", "ground_truth_observations_end", "falls from"),
        ("evaluation.batching.observation_stacking=2", "evaluation.batching.observation_stacking", "must be 1"),
    ],
)
def test_impossible_values(override: str, key: str, remedy: str) -> None:
    message = refusal(override)

    assert message.startswith(f"{AUTHORS_CONFIGURATIONS['01_bair']}: ")
    assert key in message
    assert remedy in message


def test_everything_wrong_is_said_at_once() -> None:
    message = refusal("training.max_steps=0", "data.actions_count=x", "logging.runname=a")

    assert all(key in message for key in ("training.max_steps", "data.actions_count", "logging.runname"))


@pytest.mark.parametrize("section", ["logging", "data", "model", "training", "evaluation"])
def test_missing_sections_are_named(section: str) -> None:
    config = load_configuration(AUTHORS_CONFIGURATIONS["01_bair"]).model_dump()
    del config[section]

    with pytest.raises(ConfigurationError, match=f"^a checkpoint: {section}: missing$"):
        parse_configuration(config, "a checkpoint")


# What is wrong with files


def test_repeated_keys(text: str, tmp_path: Path) -> None:
    message = refusal_of(text.replace("actions_count: 7", "actions_count: 7\n  actions_count: 3"), tmp_path)

    assert "'actions_count' stands here twice" in message
    assert "line 7" in message


LAUGHS = "\n  ".join(
    f"{new}: &{new} {{{', '.join(f'{key}: *{old}' for key in 'klmnopqrs')}}}"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("values", ["&a {b: *a}", "&a [*a]", "&a {b: [*a, *a]}", f"\n  a: &a {{b: 1}}\n  {LAUGHS}"])
def test_aliases_stand_for_no_more_than_a_configuration(values: str, text: str, tmp_path: Path) -> None:
    message = refusal_of(f"{text}\nmore: {values}\n", tmp_path)

    assert "holds itself, or more than 100000 values; write it without aliases (*)" in message


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.mkdir [{marker}]",
        "!!python/object/new:os.mkdir [{marker}]",
        "!!python/name:os.mkdir",
        "!!python/module:os",
    ],
)
def test_python_objects_are_never_built(value: str, text: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    spoilt = text.replace("run_name: 01_bair", f"run_name: {value.format(marker=marker)}")

    message = refusal_of(spoilt, tmp_path)

    assert "python/" in message
    assert not marker.exists()
    assert "python/" in refusal(f"logging.run_name={value.format(marker=marker)}")
    assert not marker.exists()


@pytest.mark.parametrize(
    "spoilt",
    [
        "",
        "just words",
        "- a\n- list",
        "logging: [unclosed",
        "a: b: c",
        "[" * 5000,
        "a: \0",
        "1: number as a key",
        "? [1, 2]\n: sequence as a key",
        "logging: {run_name: 2024-13-45}",
        "training: {seed: !!bool maybe}",
        f"training: {{max_steps: {'9' * 5000}}}",
        "data: &itself [*itself]",
        "logging: *undefined",
    ],
)
def test_files_that_are_no_configuration(spoilt: str, tmp_path: Path) -> None:
    refusal_of(spoilt, tmp_path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")

    for path in (tmp_path / "absent.yaml", tmp_path, binary):
        assert refusal(path=path).startswith(f"{path}: cannot be read")


def test_merge_keys_are_understood(text: str, tmp_path: Path) -> None:
    path = tmp_path / "merged.yaml"
    path.write_text(
        text.replace("batching: {", "batching: &batching {", 1).replace(
            "batching: {batch_size: 8,", "batching: {<<: *batching, batch_size: 3,"
        )
    )

    config = load_configuration(path)

    assert config.evaluation.batching.batch_size == 3
    assert config.evaluation.batching.observations_count_steps == 25_000
