"""The exported step computes what the model computes, and nothing else."""

import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from model.build import build_model
from model.dynamics import DynamicsState
from playing.simulator import Moment, Simulator
from tests.configurations import SEEING, small_configuration
from tests.reference import NAMES, filled_caddy, load_arrays, relative_error
from utils.command import UserError
from web.exporters import find_exporter
from web.onnx_graph import OnnxGraph
from web.onnx_simulator import OnnxSimulator, largest_difference
from web.onnx_step import ExportedStep, export_step

STEPS = 8
FULL_MODEL = "model.architecture=model.main_model.model"
FOUR_FRAMES = ("training.batching.observation_stacking=4", "evaluation.batching.observation_stacking=4")
NO_VARIATIONS = "model.action_network.use_variations=false"
FIRST_STEPS = "model.dynamics_network.first_steps_statistics=3"

VARIANTS: dict[str, tuple[str, ...]] = {
    "reduced": (),
    "full": (FULL_MODEL,),
    "four frames": FOUR_FRAMES,
    "no variations": (NO_VARIATIONS,),
    "first steps": (FIRST_STEPS,),
    "33 features": ("model.representation_network.state_features=33",),
    "all": (FULL_MODEL, *FOUR_FRAMES, NO_VARIATIONS, FIRST_STEPS),
    "seeing": SEEING,
    "seeing, all": (*SEEING, "model.rendering_network.reach=4", *FOUR_FRAMES, NO_VARIATIONS, FIRST_STEPS),
}


def small_simulator(*overrides: str) -> Simulator:
    """A model of which every parameter and statistic is unlike its neutral value."""
    random = np.random.default_rng(0)

    def filled(shape: torch.Size, low: float, high: float) -> Tensor:
        return torch.from_numpy(random.uniform(low, high, tuple(shape)).astype(np.float32))

    model = build_model(small_configuration(*overrides))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            module.eps = 0.1
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.ndim == 0:
                continue
            if "running_var" in name:
                value.copy_(filled(value.shape, 0.3, 3))
            elif value.ndim > 1 and "initial" not in name and "running" not in name:
                fan_in = value[0].numel()
                value.copy_(filled(value.shape, -1, 1) * (3 / fan_in) ** 0.5)
            else:
                value.copy_(filled(value.shape, -1, 1))
    return Simulator(model)


def exported(simulator: Simulator, *overrides: str, half: bool = False) -> ExportedStep:
    """The step of a model with given overrides, as its architecture is exported."""
    return find_exporter(small_configuration(*overrides)).export_step(simulator.model, half)


def start_stacks(simulator: Simulator) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (1, *simulator.stack_shape), np.uint8)


def nodes(step: ExportedStep, operator: str) -> list[onnx.NodeProto]:
    return [node for node in step.model.graph.node if node.op_type == operator]


def run_step(step: ExportedStep, moment: Moment, variation: np.ndarray) -> dict[str, np.ndarray]:
    """What the model makes of a moment and action 1, by the names that are documented."""
    session = onnxruntime.InferenceSession(step.model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {"observation": moment.observation.contiguous().numpy(), "action": np.array([[0, 1, 0]], np.float32)}
    if step.uses_variations:
        feeds["variation"] = variation.astype(np.float32)
    if step.counts_steps:
        feeds["step"] = np.array([moment.state.step])
    for layer, state in enumerate(moment.state.layers):
        feeds[f"hidden_{layer}"] = state.hidden.contiguous().numpy()
        feeds[f"cell_{layer}"] = state.cell.contiguous().numpy()
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, feeds), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_play_is_as_published(name: str) -> None:
    arrays = load_arrays(f"{name}.play")
    observation = torch.from_numpy(arrays["observation"])[None]
    height, width = observation.shape[-2:]
    model = filled_caddy(name, (height, width)).requires_grad_(False)
    simulator = OnnxSimulator(export_step(model))
    moment = Moment(observation, model.initial_state(1))
    frames = []
    for action in arrays["actions"]:
        moment = simulator.step(moment, np.array([int(action)]))
        frames.append(moment.observation[:, :3])
    assert relative_error(torch.cat(frames), arrays["frames"]) < 1e-5


@pytest.mark.parametrize("overrides", VARIANTS.values(), ids=VARIANTS)
def test_many_steps_equal_those_of_the_model(overrides: tuple[str, ...]) -> None:
    simulator = small_simulator(*overrides)
    step = exported(simulator, *overrides)
    player = OnnxSimulator(step)
    random = np.random.default_rng(2)
    expected = simulator.start(start_stacks(simulator))
    found = player.start(start_stacks(simulator))
    for number in range(STEPS):
        action = random.integers(3, size=1)
        variation = random.standard_normal((1, 2)) * step.uses_variations
        expected = simulator.step(expected, action, variation)
        found = player.step(found, action, variation)
        assert found.state.step == number + 1
        torch.testing.assert_close(found.observation, expected.observation, atol=2e-5, rtol=0)
        for state, expected_state in zip(found.state.layers, expected.state.layers, strict=True):
            torch.testing.assert_close(state.hidden, expected_state.hidden, atol=2e-5, rtol=0)
            torch.testing.assert_close(state.cell, expected_state.cell, atol=2e-5, rtol=0)
    assert largest_difference(simulator, player, start_stacks(simulator), random.integers(3, size=STEPS)) < 2e-5


def test_the_largest_difference_is_that_of_any_step_and_pixel() -> None:
    class Ramp:
        """Its frames are as bright as the sum of the actions taken, times a factor at one pixel."""

        def __init__(self, factor: float) -> None:
            self.factor = factor

        def start(self, _: np.ndarray) -> Moment:
            return Moment(torch.zeros(1, 6, 2, 2), DynamicsState((), 0))

        def step(self, moment: Moment, actions: np.ndarray) -> Moment:
            observation = moment.observation.clone()
            observation[0, 2, 0, 1] += self.factor * actions[0]
            observation[0, 5] += 100 * self.factor
            return Moment(observation, moment.state)

    players = Ramp(0.5), Ramp(0.25)
    difference = largest_difference(*players, np.zeros(0), np.array([1, 3, -2]))  # type: ignore[arg-type]
    assert difference == 1.0


@pytest.mark.parametrize("overrides", [(), FOUR_FRAMES, SEEING], ids=["one frame", "four frames", "seeing"])
def test_pixels_are_those_that_play_shows(overrides: tuple[str, ...]) -> None:
    simulator = small_simulator(*overrides)
    moment = simulator.start(start_stacks(simulator))
    variation = np.ones((1, 2))
    outputs = run_step(exported(simulator, *overrides), moment, variation)
    following = simulator.step(moment, np.array([1]), variation)
    assert outputs["pixels"].dtype == np.uint8
    assert outputs["pixels"].shape == (16, 32, 4)
    assert np.ptp(outputs["pixels"][..., :3]) > 50
    assert np.abs(outputs["pixels"][..., :3].astype(int) - following.frames[0]).max() <= 1
    rounded = np.round((outputs["next_observation"][0, :3] + 1) * 127.5).transpose(1, 2, 0)
    assert np.array_equal(outputs["pixels"][..., :3], rounded)
    assert (outputs["pixels"][..., 3] == 255).all()


def test_actions_variations_and_steps_matter() -> None:
    simulator = small_simulator(FIRST_STEPS)
    player = OnnxSimulator(export_step(simulator.model))
    first = player.start(start_stacks(simulator))
    later = Moment(first.observation, type(first.state)(first.state.layers, step=3))
    latest = Moment(first.observation, type(first.state)(first.state.layers, step=40))
    frames = [
        player.step(moment, np.array([action]), np.full((1, 2), variation)).observation
        for moment, action, variation in ((first, 0, 0), (first, 1, 0), (first, 0, 1), (later, 0, 0))
    ]
    for index, frame in enumerate(frames):
        assert all((frame - other).abs().max() > 1e-3 for other in frames[:index])
    assert torch.equal(frames[3], player.step(latest, np.array([0]), np.zeros((1, 2))).observation)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), ["observation", "action", "variation"]),
        ((NO_VARIATIONS, FIRST_STEPS), ["observation", "action", "step"]),
    ],
)
def test_inputs_and_outputs_are_as_documented(overrides: tuple[str, ...], expected: list[str]) -> None:
    step = export_step(small_simulator(*overrides).model)
    states = [f"{part}_{layer}" for layer in range(3) for part in ("hidden", "cell")]
    assert list(step.initial_state) == states
    assert [value.name for value in step.model.graph.input] == expected + states
    assert [value.name for value in step.model.graph.output] == [
        "next_observation",
        "pixels",
        *(f"next_{name}" for name in states),
    ]
    shapes = {
        value.name: tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)
        for value in (*step.model.graph.input, *step.model.graph.output)
    }
    assert shapes["observation"] == shapes["next_observation"] == (1, 3, 16, 32)
    assert shapes["action"] == (1, 3)
    assert shapes.get("variation", (1, 2)) == (1, 2)
    assert shapes.get("step", (1,)) == (1,)
    for name, state in step.initial_state.items():
        assert shapes[name] == shapes[f"next_{name}"] == state.shape
        assert state.dtype == np.float32
    assert step.initial_state["hidden_1"].shape == (1, 16, 1, 2)
    assert (step.uses_variations, step.counts_steps) == ("variation" in expected, "step" in expected)


def test_what_play_does_not_show_is_not_computed() -> None:
    step = export_step(small_simulator(FIRST_STEPS).model)
    onnx.checker.check_model(step.model, full_check=True)
    assert {entry.domain: entry.version for entry in step.model.opset_import} == {"": 17}
    assert not nodes(step, "BatchNormalization")
    assert not nodes(step, "AveragePool")
    assert len(nodes(step, "Conv")) == 30
    assert len(nodes(step, "Sigmoid")) == 3  # one for the gates of each ConvLSTM, none for attention
    used = {name for node in step.model.graph.node for name in node.input}
    outputs = {value.name for value in step.model.graph.output}
    assert {weight.name for weight in step.model.graph.initializer} <= used
    assert {name for node in step.model.graph.node for name in node.output} <= used | outputs


@pytest.mark.parametrize("state_features", [8, 32, 33])
@pytest.mark.parametrize("overrides", VARIANTS.values(), ids=VARIANTS)
def test_convolutions_are_such_as_webgpu_computes_rightly(overrides: tuple[str, ...], state_features: int) -> None:
    features = f"model.representation_network.state_features={state_features}"
    step = exported(small_simulator(features, *overrides), features, *overrides)
    shapes = {value.name: value.type.tensor_type.shape.dim for value in step.model.graph.value_info}
    shapes |= {value.name: value.type.tensor_type.shape.dim for value in step.model.graph.input}
    for node in nodes(step, "Conv"):
        num_groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        num_channels = shapes[node.input[0]][1].dim_value // num_groups
        assert num_channels == 3 or num_channels % 4 == 0 or num_channels % 3 != 0


class TestHalf:
    @pytest.mark.parametrize("overrides", [(FIRST_STEPS,), SEEING], ids=["first steps", "seeing"])
    def test_is_half_as_large_and_nearly_the_same(self, overrides: tuple[str, ...]) -> None:
        simulator = small_simulator(*overrides)
        full, half = (exported(simulator, *overrides, half=half) for half in (False, True))
        weights = sum(onnx.numpy_helper.to_array(weight).nbytes for weight in full.model.graph.initializer)
        halved = sum(onnx.numpy_helper.to_array(weight).nbytes for weight in half.model.graph.initializer)
        assert 0.5 <= halved / weights < 0.55
        stacks, actions = start_stacks(simulator), np.arange(STEPS) % 3
        assert 1e-6 < largest_difference(simulator, OnnxSimulator(half), stacks, actions) < 0.02

    def test_takes_and_gives_float32(self) -> None:
        step = export_step(small_simulator().model, half=True)
        kinds = {value.type.tensor_type.elem_type for value in (*step.model.graph.input, *step.model.graph.output)}
        assert kinds == {onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8}

    @pytest.mark.parametrize(("value", "fits"), [(65504.0, True), (65520.0, False)])
    def test_weights_that_do_not_fit_are_refused(self, value: float, fits: bool) -> None:
        graph = OnnxGraph(half=True)
        if fits:
            graph.weight("kernel", np.full((1, 1), -value, np.float32))
        else:
            with pytest.raises(UserError, match=r"^kernel is too large for half precision; export without --half$"):
                graph.weight("kernel", np.full((1, 1), -value, np.float32))


def test_a_model_in_training_is_exported_as_it_plays() -> None:
    simulator = small_simulator()
    expected = export_step(simulator.model).model
    simulator.model.train()
    assert export_step(simulator.model).model == expected


def test_an_exported_model_is_the_same_every_time() -> None:
    first, second = (export_step(small_simulator().model).model.SerializeToString() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "web.onnx_packages")
    with pytest.raises(UserError, match=f"needs {package}, which is not installed; install it: pip install onnx "):
        import web.onnx_packages  # noqa: F401
