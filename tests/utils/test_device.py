import subprocess
import sys

import pytest
import torch

from utils.command import UserError
from utils.device import select_device


@pytest.mark.parametrize(
    ("name", "usable", "expected"),
    [
        ("auto", "", "cpu"),
        ("auto", "mps", "mps"),
        ("auto", "cuda mps", "cuda"),
        ("cpu", "cuda", "cpu"),
        ("cuda", "cuda", "cuda"),
        ("mps", "cuda mps", "mps"),
    ],
)
def test_selection(monkeypatch: pytest.MonkeyPatch, name: str, usable: str, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in usable)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in usable)
    assert select_device(name) == torch.device(expected)


@pytest.mark.parametrize(("usable", "remedy"), [("", "use auto or cpu"), ("mps", "use auto or mps or cpu")])
def test_a_missing_device_is_refused(monkeypatch: pytest.MonkeyPatch, usable: str, remedy: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in usable)
    with pytest.raises(UserError, match=f"--device cuda: .*{remedy}$"):
        select_device("cuda")


def test_no_thread_computes_with_denormal_numbers() -> None:
    program = """
import torch
from utils.device import flush_denormals
torch.set_num_threads(2)
flush_denormals()
assert not (torch.full((1_000_000,), 1e-30) * 1e-10).any()
"""
    subprocess.run([sys.executable, "-c", program], check=True)
