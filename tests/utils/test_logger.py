import json
import math
import os
import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.processes import succeed
from tests.synthetic import square_configuration
from utils.configuration import Configuration, load_configuration
from utils.logger import RunLogger, has_evaluation, read_metrics


class FakeWandb(ModuleType):
    """Stands in for the `wandb` module and keeps what it is told."""

    Error = RuntimeError

    def __init__(self, logged_in: bool = True, failing_modes: tuple[str, ...] = ()) -> None:
        super().__init__("wandb")
        self.logged_in = logged_in
        self.failing_modes = failing_modes
        self.modes: list[str] = []
        self.ids_in_use: set[str] = set()
        self.started: dict[str, Any] = {}
        self.logged: list[dict[str, Any]] = []
        self.is_finished = False
        self.name = "fake"

    def login(self, prompt: bool, verify: bool) -> bool:
        assert not prompt
        assert not verify
        return self.logged_in

    def init(self, mode: str, **arguments: Any) -> "FakeWandb":
        self.modes.append(mode)
        if arguments["id"] in self.ids_in_use:
            raise RuntimeError(f"run ID {arguments['id']} is in use")
        self.ids_in_use.add(arguments["id"])
        if mode in self.failing_modes:
            raise RuntimeError(f"{mode} is\nimpossible")
        self.started = arguments
        return self

    def teardown(self) -> None:
        self.ids_in_use.clear()

    def log(self, values: dict[str, Any]) -> None:
        self.logged.append(values)

    def finish(self) -> None:
        self.is_finished = True

    def define_metric(self, name: str, step_metric: str) -> None:
        assert (name, step_metric) == ("*", "step")

    Settings = dict

    @staticmethod
    def Image(path: str) -> str:
        return path

    @staticmethod
    def Video(path: str, format: str) -> str:
        assert path.endswith(f".{format}")
        return path


@pytest.fixture
def wandb_mode(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return monkeypatch


def lines(logger: RunLogger) -> list[dict[str, Any]]:
    return [json.loads(line) for line in logger.metrics_file.read_text().splitlines()]


@pytest.fixture
def config(tmp_path: Path) -> Configuration:
    return square_configuration(tmp_path)


def test_scalars_are_lines_that_a_resumed_run_adds_to(config: Configuration) -> None:
    with closing(RunLogger(config)) as logger:
        logger.log_scalars(1, {"train/loss": 0.5})
        assert lines(logger) == [{"step": 1, "train/loss": 0.5}]
    with closing(RunLogger(config)) as logger:
        logger.log_scalars(2, {"train/loss": math.nan, "train/kl": math.inf, "health/ill": True})
    assert lines(logger)[1:] == [{"step": 2, "train/loss": None, "train/kl": None, "health/ill": True}]


def test_a_line_torn_by_a_full_disk_is_removed(config: Configuration) -> None:
    with closing(RunLogger(config)) as logger:
        logger.log_scalars(1, {"train/loss": 0.5})
    with logger.metrics_file.open("a") as file:
        file.write('{"step": 2, "train/')
    with closing(RunLogger(config)) as logger:
        logger.log_scalars(3, {})
    assert [line["step"] for line in lines(logger)] == [1, 3]


def test_scalars_are_read_as_of_the_run_that_went_on(config: Configuration) -> None:
    """Killed after step 30, it went on from step 15."""
    with closing(RunLogger(config)) as logger:
        for step in (10, 20, 30, 18, 28):
            logger.log_scalars(step, {"train/loss": step / 2, "train/kl": math.nan})
        logger.log_scalars(28, {"health/ill": True})
    scalars = read_metrics(logger.metrics_file)
    assert scalars["train/loss"] == {10: 5.0, 18: 9.0, 28: 14.0}
    assert all(map(math.isnan, scalars["train/kl"].values()))
    assert scalars["health/ill"] == {28: 1.0}


def test_images(config: Configuration) -> None:
    with closing(RunLogger(config)) as logger:
        logger.log_image(20, "attention", np.zeros((4, 5, 3), np.uint8))
        logger.log_animation(20, "reconstruction", np.zeros((2, 4, 5, 3), np.uint8))
    assert [path.name for path in logger.images_directory.iterdir()] == ["attention_00000020.png"]
    assert [path.name for path in (logger.directory / "animations").iterdir()] == ["reconstruction_00000020.gif"]


def test_the_configuration_in_force_is_saved_and_earlier_ones_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = square_configuration(tmp_path), square_configuration(tmp_path, "training.seed=1")
    for config in (first, first, second, first):
        RunLogger(config).close()
    folder = first.logging.output_directory
    assert [load_configuration(folder / f"{name}.yaml") for name in ("config_1", "config_2", "config")] == [
        first,
        second,
        first,
    ]
    assert not (folder / "config_3.yaml").exists()
    assert capsys.readouterr().out.count("not the configuration of the last start") == 2


def test_without_wandb_it_is_not_even_imported(config: Configuration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    RunLogger(config).close()


def test_tensorboard_goes_on_where_the_run_does(tmp_path: Path) -> None:
    """Killed after step 30, it went on from step 15."""
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config = square_configuration(tmp_path, "logging.trackers=[tensorboard]")
    for start, steps in ((0, (10, 20, 30)), (15, (18, 28))):
        with closing(RunLogger(config, start)) as logger:
            for step in steps:
                logger.log_scalars(step, {"train/loss": step / 2})
    with closing(RunLogger(config, 28)) as logger:
        logger.log_image(28, "attention", np.zeros((4, 5, 3), np.uint8))
        logger.log_animation(28, "reconstruction", np.zeros((2, 4, 5, 3), np.uint8))
    found = event_accumulator.EventAccumulator(str(logger.directory / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in found.Scalars("train/loss")] == [(10, 5), (18, 9), (28, 14)]
    assert found.Images("images/attention")[0].encoded_image_string.startswith(b"\x89PNG")
    (animation,) = found.Images("animations/reconstruction")
    assert (animation.width, animation.height) == (5, 4)
    assert animation.encoded_image_string.startswith(b"GIF")


def with_wandb(folder: Path) -> Configuration:
    return square_configuration(folder, "logging.trackers=[wandb]")


@pytest.mark.parametrize(
    ("environment", "fake", "modes"),
    [
        (None, FakeWandb(), ["online"]),
        (None, FakeWandb(logged_in=False), ["offline"]),
        ("online", FakeWandb(logged_in=False), ["offline"]),
        (None, FakeWandb(failing_modes=("online",)), ["online", "offline"]),
        ("offline", FakeWandb(logged_in=False), ["offline"]),
        ("disabled", FakeWandb(logged_in=False), ["disabled"]),
        ("nonsense", FakeWandb(failing_modes=("nonsense",)), ["nonsense", "offline"]),
    ],
)
def test_wandb_runs_online_if_that_is_possible_without_asking(
    tmp_path: Path, wandb_mode: pytest.MonkeyPatch, environment: str | None, fake: FakeWandb, modes: list[str]
) -> None:
    wandb_mode.setitem(sys.modules, "wandb", fake)
    if environment:
        wandb_mode.setenv("WANDB_MODE", environment)
    config = with_wandb(tmp_path)
    with closing(RunLogger(config)) as logger:
        logger.log_scalars(3, {"train/loss": 0.5})
        logger.log_image(3, "attention", np.zeros((4, 5, 3), np.uint8))
        logger.log_animation(3, "reconstruction", np.zeros((2, 4, 5, 3), np.uint8))
    assert fake.modes == modes
    assert fake.started["config"] == config.model_dump(mode="json")
    assert fake.started["name"] == "square"
    image = str(logger.images_directory / "attention_00000003.png")
    animation = str(logger.directory / "animations" / "reconstruction_00000003.gif")
    assert fake.logged == [
        {"train/loss": 0.5, "step": 3},
        {"images/attention": image, "step": 3},
        {"animations/reconstruction": animation, "step": 3},
    ]
    assert fake.is_finished


def test_with_a_key_but_without_a_network_the_run_is_an_offline_one(tmp_path: Path) -> None:
    """The real W&B: an address that refuses at once stands for the network that is not there."""
    script = (
        "import sys; from pathlib import Path; from contextlib import closing\n"
        "from tests.synthetic import square_configuration; from utils.logger import RunLogger\n"
        "config = square_configuration(Path(sys.argv[1]), 'logging.trackers=[wandb]')\n"
        "with closing(RunLogger(config)) as logger: logger.log_scalars(1, {'train/loss': 0.5})"
    )
    environment: dict[str, str | None] = {name: None for name in os.environ if name.startswith("WANDB_")}
    environment |= {"WANDB_API_KEY": 40 * "a", "WANDB_BASE_URL": "http://127.0.0.1:9", "HOME": str(tmp_path)}
    told = succeed("-c", script, tmp_path, environment=environment)
    assert "W&B: no online run (" in told
    assert "W&B: offline run square in " in told
    assert list((tmp_path / "results/square/wandb").glob("offline-run-*/*.wandb"))


@pytest.mark.parametrize("module", [FakeWandb(failing_modes=("online", "offline")), None], ids=["failing", "missing"])
def test_training_does_without_wandb_where_it_cannot_be_had(
    tmp_path: Path, wandb_mode: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: ModuleType | None
) -> None:
    wandb_mode.setitem(sys.modules, "wandb", module)
    with closing(RunLogger(with_wandb(tmp_path))) as logger:
        logger.log_scalars(1, {"train/loss": 0.5})
    assert len(lines(logger)) == 1
    told = capsys.readouterr().out.splitlines()
    assert [line.split(" (")[0] for line in told] == ["W&B: no online run", "W&B: no offline run"]


def test_the_parts_of_an_interrupted_run_are_one_in_wandb(tmp_path: Path, wandb_mode: pytest.MonkeyPatch) -> None:
    started = []
    for name in ("first", "first", "second"):
        fake = FakeWandb()
        wandb_mode.setitem(sys.modules, "wandb", fake)
        RunLogger(square_configuration(tmp_path, "logging.trackers=[wandb]", f"logging.run_name={name}")).close()
        assert fake.started["resume"] == "allow"
        started.append(fake.started["id"])
    assert started[0] == started[1] != started[2]


def test_a_failure_of_wandb_does_not_end_training(
    tmp_path: Path, wandb_mode: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("the service\nis gone")

    fake = FakeWandb()
    wandb_mode.setitem(sys.modules, "wandb", fake)
    wandb_mode.setattr(fake, "log", fail)
    with closing(RunLogger(with_wandb(tmp_path))) as logger:
        for step in (1, 2):
            logger.log_scalars(step, {"train/loss": 0.5})
            logger.log_image(step, "attention", np.zeros((4, 5, 3), np.uint8))
    assert len(lines(logger)) == 2
    assert capsys.readouterr().out.count("W&B: the service is gone; going on without") == 1


def test_evaluations_are_found_by_their_step(config: Configuration) -> None:
    with closing(RunLogger(config)) as logger:
        assert not has_evaluation(logger.directory / "absent.jsonl", 3)
        logger.log_scalars(3, {"train/loss": 0.5})
        logger.log_scalars(30, {"eval/reconstruction": 0.5})
    assert [has_evaluation(logger.metrics_file, step) for step in (3, 30)] == [False, True]
