"""The perceptual network and how its weights are found; its numbers are in `tests/training/test_losses.py`."""

from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import pytest
import torch
from torch import Tensor
from torchvision.models import VGG19_Weights

from model.perceptual import PerceptualNetwork, load_perceptual_network
from tests.reference import filled_vgg19
from utils.command import UserError


@pytest.fixture
def weights_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torchvision's weights are looked for; nothing is there, and nothing can be fetched."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    forbid_download(monkeypatch, AssertionError("a download was tried"))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder / Path(VGG19_Weights.IMAGENET1K_V1.url).name


def forbid_download(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def download(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)


def compact(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the same shapes that all hold one number each, so that files of them are small."""
    return {name: tensor.flatten()[:1].clone()[0].expand(tensor.shape) for name, tensor in weights.items()}


def test_features_are_those_of_five_levels(perceptual_network: PerceptualNetwork) -> None:
    features = perceptual_network(torch.zeros(2, 3, 32, 48))

    assert [tuple(level.shape) for level in features] == [
        (2, 64, 32, 48),
        (2, 128, 16, 24),
        (2, 256, 8, 12),
        (2, 512, 4, 6),
        (2, 512, 2, 3),
    ]
    assert all((level >= 0).all() for level in features)


def test_the_network_is_frozen_but_passes_gradients_to_frames(perceptual_network: PerceptualNetwork) -> None:
    frames = torch.rand(1, 3, 16, 16, requires_grad=True)

    sum(level.mean() for level in perceptual_network(frames)).backward()

    assert frames.grad is not None
    assert frames.grad.abs().sum() > 0
    assert not perceptual_network.training
    assert not any(parameter.requires_grad for parameter in perceptual_network.parameters())


def test_frames_are_not_normalised(perceptual_network: PerceptualNetwork) -> None:
    weights = filled_vgg19()
    frames = torch.rand(1, 3, 16, 16) * 2 - 1

    plain = torch.conv2d(frames, weights["features.0.weight"], weights["features.0.bias"], padding=1).relu()

    torch.testing.assert_close(perceptual_network(frames)[0], plain)


def test_weights_are_read_from_torch_home(weights_file: Path) -> None:
    weights = compact(filled_vgg19())
    torch.save(weights | {"classifier.0.weight": torch.zeros(2, 2)}, weights_file)

    network = load_perceptual_network()

    frames = torch.rand(1, 3, 16, 16)
    for loaded, expected in zip(network(frames), PerceptualNetwork(weights)(frames), strict=True):
        torch.testing.assert_close(loaded, expected)


def test_absent_weights_that_cannot_be_fetched(weights_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unreachable = (
        URLError("Name or service not known"),
        HTTPError("https://download", 503, "unavailable", {}, None),  # type: ignore[arg-type]
        TimeoutError("timed out"),
    )
    for error in unreachable:
        forbid_download(monkeypatch, error)
        with pytest.raises(UserError) as refusal:
            load_perceptual_network()

        message = str(refusal.value)
        assert "\n" not in message
        assert str(weights_file) in message
        assert "TORCH_HOME" in message
        assert "--set training.loss_weights.perceptual_loss_lambda=0" in message


def test_a_download_that_arrives_damaged(weights_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_download(monkeypatch, RuntimeError('invalid hash value (expected "dcbb9e9d", got "00000000")'))

    with pytest.raises(UserError, match=str(weights_file)):
        load_perceptual_network()


def _truncated(file: Path) -> None:
    torch.save(compact(filled_vgg19()), file)
    contents = file.read_bytes()
    file.write_bytes(contents[: len(contents) // 2])


def _without_a_level(file: Path) -> None:
    weights = compact(filled_vgg19())
    torch.save({name: tensor for name, tensor in weights.items() if not name.startswith("features.28")}, file)


@pytest.mark.parametrize(
    "damage",
    [
        _truncated,
        _without_a_level,
        lambda file: file.touch(),
        lambda file: file.write_text("<html>404 Not Found</html>"),
        lambda file: torch.save({"features.0.weight": torch.zeros(1)}, file),
        lambda file: torch.save([torch.zeros(1)], file),
        lambda file: torch.save({"features.0.weight": "text"}, file),
        lambda file: torch.save({0: torch.zeros(1)}, file),
        lambda file: torch.save(torch.nn.Linear(1, 1), file),  # a pickled object, which is never built
    ],
)
def test_a_file_that_is_not_the_network_is_named(weights_file: Path, damage: Any) -> None:
    damage(weights_file)

    with pytest.raises(UserError) as refusal:
        load_perceptual_network()

    assert str(refusal.value).startswith(f"{weights_file}: not intact VGG19 weights")
    assert "\n" not in str(refusal.value)
