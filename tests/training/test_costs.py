import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from model.caddy import Caddy
from tests.configurations import SEEING, published_configuration, small_configuration
from training import costs
from training.costs import step_costs
from training.objective import Objective
from training.step import Phase, TrainingStep

OVERRIDES = (
    "training.batching.batch_size=3",
    "training.batching.observations_count_start=4",
    "training.batching.observations_count=4",
    "training.ground_truth_observations_start=3",
    "training.ground_truth_observations_end=3",
)


def test_a_step_takes_weights_gradients_moments_and_what_it_keeps_for_the_backward_pass() -> None:
    config = small_configuration(*OVERRIDES)
    model = Caddy(config).train()
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    observations = torch.rand(4, 3, 16, 32, 3).movedim(-1, 2).transpose(0, 1)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = TrainingStep(model, Objective(config))(observations, Phase(False, 3, 1.0))
    weights = {weight.data_ptr(): weight.nbytes for weight in model.parameters()}
    activations = sum(size for pointer, size in kept.items() if pointer not in weights)
    assert result.loss.total.isfinite()
    least = activations + 3 * sum(weights.values())
    assert least < step_costs(config).peak_bytes < 1.2 * least


def test_recomputation_and_bfloat16_take_less() -> None:
    plain = step_costs(small_configuration(*OVERRIDES))
    recomputing = step_costs(small_configuration(*OVERRIDES, "training.activation_checkpointing=true"))
    half = step_costs(small_configuration(*OVERRIDES, "training.precision=bf16"))
    assert recomputing.peak_bytes < 0.6 * plain.peak_bytes
    assert half.peak_bytes < 0.9 * plain.peak_bytes
    assert half.moved_bytes < plain.moved_bytes
    assert recomputing.operations > 1.2 * plain.operations


def test_the_seeing_model_is_followed_too() -> None:
    seeing = step_costs(small_configuration(*OVERRIDES, *SEEING))
    half = step_costs(small_configuration(*OVERRIDES, *SEEING, "training.precision=bf16"))
    assert half.peak_bytes < seeing.peak_bytes
    assert seeing.operations > step_costs(small_configuration(*OVERRIDES)).operations


def test_the_largest_published_configuration_fits_into_11_gb_with_bfloat16_or_recomputation() -> None:
    assert step_costs(published_configuration("01_bair", "training.precision=bf16")).peak_bytes < 8e9
    assert step_costs(published_configuration("01_bair", "training.activation_checkpointing=true")).peak_bytes < 3e9


def test_what_operations_move_is_what_they_read_and_write() -> None:
    counter = costs._Counter()
    x = torch.zeros(10, 4)
    with counter:
        y = x.view(4, 10).t() + 1  # the view moves nothing
        y.mul_(y)
    addition, multiplication = 2 * x.nbytes, 3 * x.nbytes
    assert counter.moved_bytes == addition + multiplication


def test_operations_are_those_of_the_step() -> None:
    config = small_configuration(*OVERRIDES)
    model = Caddy(config).train()
    observations = torch.rand(4, 3, 16, 32, 3).movedim(-1, 2).transpose(0, 1)
    with FlopCounterMode(display=False) as counter:
        TrainingStep(model, Objective(config))(observations, Phase(False, 3, 1.0)).loss.total.backward()
    assert step_costs(config).operations == counter.get_total_flops()
