"""What `auto` stands for on a device, and what is said where networks cannot be compiled."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from model.caddy import Caddy
from tests.configurations import small_configuration
from training import compilation
from training.compilation import compile_networks, explaining_failed_compilation, resolve_auto
from training.objective import Objective
from training.step import Phase, TrainingStep
from utils.command import UserError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(name="machine")
def _machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """A machine whose GPU may know Triton, and what is installed there."""

    def build(
        has_triton: bool = True,
        compilers: tuple[str, ...] = ("gcc", "g++"),
        has_headers: bool = True,
    ) -> None:
        monkeypatch.setattr(compilation, "has_triton", lambda: has_triton)
        monkeypatch.setattr(compilation.shutil, "which", lambda name: name if name in compilers else None)
        monkeypatch.setattr(compilation.sysconfig, "get_path", lambda _: str(tmp_path))
        if has_headers:
            (tmp_path / "Python.h").touch()
        monkeypatch.delenv("CC", raising=False)
        monkeypatch.delenv("CXX", raising=False)

    return build


def chosen(device: torch.device, *overrides: str) -> tuple[str, object]:
    settings = resolve_auto(small_configuration(*overrides), device).training
    return settings.precision, settings.compile


def test_cpus_are_left_as_they_are(machine: Callable[..., None]) -> None:
    machine()
    assert chosen(CPU) == ("tf32", False)


def test_cuda_is_left_as_it_is_too_whatever_it_could(machine: Callable[..., None]) -> None:
    machine()
    assert chosen(CUDA) == ("tf32", False)


@pytest.mark.parametrize("device", [CPU, CUDA], ids=str)
def test_what_was_chosen_stays(machine: Callable[..., None], device: torch.device) -> None:
    machine()
    assert chosen(device, "training.precision=fp32", "training.compile=false") == ("fp32", False)
    assert chosen(device, "training.precision=bf16", "training.compile=true") == ("bf16", True)


def test_cuda_graphs_need_networks_compiled_for_cuda(machine: Callable[..., None]) -> None:
    machine()
    compiled_for_cuda = small_configuration("training.cuda_graphs=true", "training.compile=true")
    assert resolve_auto(compiled_for_cuda, CUDA).training.cuda_graphs
    for device, compiled in ((CPU, "true"), (CPU, "auto"), (CUDA, "auto"), (CUDA, "false")):
        config = small_configuration("training.cuda_graphs=true", f"training.compile={compiled}")
        with pytest.raises(UserError, match=r"^training\.cuda_graphs: .* set it to false"):
            resolve_auto(config, device)


@pytest.mark.parametrize(
    ("device", "lacking", "named"),
    [
        (CPU, {"compilers": ("gcc",)}, "a C\\+\\+ compiler"),
        (CUDA, {"compilers": ("g++",)}, "a C compiler"),
        (CUDA, {"has_triton": False}, "a GPU that Triton supports"),
        (CPU, {"has_headers": False}, "the headers of Python"),
        (CUDA, {"has_headers": False}, "the headers of Python"),
    ],
)
def test_a_missing_compiler_is_named(
    machine: Callable[..., None], device: torch.device, lacking: dict[str, object], named: str
) -> None:
    machine(**lacking)
    config = small_configuration("training.compile=true")
    with pytest.raises(UserError, match=f"^training.compile: needs {named}.*; set it to false without that$"):
        compile_networks(Caddy(config), Objective(config), device)


def test_a_compiler_may_be_named(machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_configuration("training.compile=true")
    monkeypatch.setattr(nn.Module, "compile", lambda *_, **__: None)

    def compile_for_cuda() -> None:
        compile_networks(Caddy(config), Objective(config), CUDA)

    machine(compilers=("my-cc",))
    with pytest.raises(UserError, match="needs a C compiler"):
        compile_for_cuda()
    monkeypatch.setenv("CC", "my-cc")
    compile_for_cuda()
    machine(compilers=("gcc",))
    monkeypatch.setenv("CC", "my-cc")  # what is named is used, whatever else is there
    with pytest.raises(UserError, match="needs a C compiler"):
        compile_for_cuda()


def test_a_compiler_that_fails_is_told_in_one_line() -> None:
    def fail(_graph: nn.Module, _inputs: list[Tensor]) -> Callable[..., object]:
        raise RuntimeError("no space\nleft on device")

    network = torch.compile(nn.Linear(2, 2), backend=fail)
    message = r"^training\.compile: .*no space.*; set it to false, .*again$"
    with pytest.raises(UserError, match=message), explaining_failed_compilation():
        network(torch.zeros(1, 2))


def test_a_lack_of_memory_is_not_blamed_on_the_compiler() -> None:
    def fail(_graph: nn.Module, _inputs: list[Tensor]) -> Callable[..., object]:
        raise RuntimeError("CUDA out of memory")

    network = torch.compile(nn.Linear(2, 2), backend=fail)
    with pytest.raises(RuntimeError, match="out of memory") as caught, explaining_failed_compilation():
        network(torch.zeros(1, 2))
    assert not isinstance(caught.value, UserError)


def test_cuda_graphs_are_made_of_every_network_and_each_step_is_marked(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine()
    modes: list[object] = []
    marks: list[None] = []
    monkeypatch.setattr(nn.Module, "compile", lambda _, **options: modes.append(options["mode"]))
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: marks.append(None))
    for overrides, mode in (((), None), (("training.cuda_graphs=true", "training.compile=true"), "reduce-overhead")):
        config = small_configuration(*overrides)
        step = TrainingStep(Caddy(config), Objective(config))
        compile_networks(step.model, step.objective, CUDA)
        assert modes == [mode] * 3
        modes.clear()
    for _ in range(2):
        step(torch.zeros(2, 4, 3, 16, 32), Phase(False, 2, 1.0))
    assert len(marks) == 2


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), explaining_failed_compilation():
        raise ZeroDivisionError
