import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from model.caddy import Caddy
from tests.configurations import SEEING, published_configuration, small_configuration
from training import costs
from training.costs import num_moved_bytes, num_operations, peak_memory
from training.objective import Objective
from training.step import Phase, TrainingStep

OVERRIDES = ("training.batching.batch_size=3", "training.batching.observations_count=7")


def test_a_step_takes_weights_gradients_moments_and_what_it_keeps_for_the_backward_pass() -> None:
    config = small_configuration(*OVERRIDES)
    model = Caddy(config).train()
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    observations = torch.rand(7, 3, 16, 32, 3).movedim(-1, 2).transpose(0, 1)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = TrainingStep(model, Objective(config))(observations, Phase(False, 6, 1.0))
    weights = {weight.data_ptr(): weight.nbytes for weight in model.parameters()}
    activations = sum(size for pointer, size in kept.items() if pointer not in weights)
    assert result.loss.total.isfinite()
    least = activations + 3 * sum(weights.values())
    assert least < peak_memory(config) < 1.2 * least


def test_recomputation_and_bfloat16_take_less() -> None:
    plain = peak_memory(small_configuration(*OVERRIDES))
    recomputing = peak_memory(small_configuration(*OVERRIDES, "training.activation_checkpointing=true"))
    half = peak_memory(small_configuration(*OVERRIDES, "training.precision=bf16"))
    assert recomputing < 0.6 * plain
    assert half < 0.9 * plain


def test_the_seeing_model_is_followed_too() -> None:
    config = small_configuration(*OVERRIDES, *SEEING)
    assert peak_memory(small_configuration(*OVERRIDES, *SEEING, "training.precision=bf16")) < peak_memory(config)
    assert num_operations(config) > num_operations(small_configuration(*OVERRIDES))


def test_the_largest_published_configuration_fits_into_11_gb_with_bfloat16_or_recomputation() -> None:
    assert peak_memory(published_configuration("01_bair", "training.precision=bf16")) < 8e9
    assert peak_memory(published_configuration("01_bair", "training.activation_checkpointing=true")) < 3e9


def test_what_operations_move_is_what_they_read_and_write() -> None:
    traffic = costs._Traffic()
    x = torch.zeros(10, 4)
    with traffic:
        y = x.view(4, 10).t() + 1  # the view moves nothing
        y.mul_(y)
    addition, multiplication = 2 * x.nbytes, 3 * x.nbytes
    assert traffic.num_bytes == addition + multiplication


def test_bfloat16_moves_less() -> None:
    full, half = (small_configuration(*OVERRIDES, f"training.precision={name}") for name in ("fp32", "bf16"))
    assert num_moved_bytes(half) < num_moved_bytes(full)


def test_operations_are_those_of_the_step() -> None:
    config = small_configuration(*OVERRIDES)
    model = Caddy(config).train()
    observations = torch.rand(7, 3, 16, 32, 3).movedim(-1, 2).transpose(0, 1)
    with FlopCounterMode(display=False) as counter:
        TrainingStep(model, Objective(config))(observations, Phase(False, 6, 1.0)).loss.total.backward()
    assert num_operations(config) == counter.get_total_flops()
    recomputing = small_configuration(*OVERRIDES, "training.activation_checkpointing=true")
    assert num_operations(recomputing) > 1.2 * counter.get_total_flops()
