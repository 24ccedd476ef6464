"""The pretrained networks: how their weights are found, and what they compute on weights that are made up."""

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import Inception3, inception_v3, vgg16
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights, fasterrcnn_resnet50_fpn

from evaluation import networks
from evaluation.metrics.feature_distances import lpips
from evaluation.networks import I3D, INCEPTION, PERSON_DETECTOR, VGG16, InceptionNetwork, VideoNetwork
from model.perceptual import VGG19
from tests.reference import fill, filled_vgg19, load_arrays
from utils.command import UserError
from utils.pretrained import PretrainedFile

LOADERS: dict[Callable[[], nn.Module], PretrainedFile] = {
    networks.load_similarity_network: VGG19,
    networks.load_lpips_network: VGG16,
    networks.load_inception: INCEPTION,
    networks.load_i3d: I3D,
    networks.load_person_detector: PERSON_DETECTOR,
}


@pytest.fixture(autouse=True)
def _torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the weights of this machine away; nothing can be fetched."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", _unreachable)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)


def _unreachable(*_: Any, **__: Any) -> None:
    raise URLError("Name or service not known")


def inception() -> Inception3:
    return inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)


def shapes(build: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}


def compact(build: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """Weights that all hold one number each, so that files of them are small."""
    return {name: torch.tensor(0.5).expand(shape) for name, shape in shapes(build).items()}


def filled_inception() -> dict[str, Tensor]:
    """Weights as torch-fidelity was given them to compute the numbers below."""
    return {
        name: torch.from_numpy(np.asarray(fill(name, shape))) * (1.4 if len(shape) == 4 else 1)
        for name, shape in shapes(inception).items()
    }


@pytest.mark.parametrize(("load", "file"), LOADERS.items())
def test_absent_weights_that_cannot_be_fetched(load: Callable[[], nn.Module], file: PretrainedFile) -> None:
    with pytest.raises(UserError) as refusal:
        load()

    message = str(refusal.value)
    assert "\n" not in message
    assert file.url in message
    assert str(file.path) in message
    assert "TORCH_HOME" in message


@pytest.mark.parametrize(("load", "file"), LOADERS.items())
def test_a_file_of_something_else_is_named(load: Callable[[], nn.Module], file: PretrainedFile) -> None:
    for content in ({"features.0.weight": torch.zeros(1)}, {0: torch.zeros(1)}, nn.Linear(1, 1)):
        torch.save(content, file.path)
        with pytest.raises(UserError) as refusal:
            load()

        assert str(refusal.value).startswith(f"{file.path}: not intact {file.network} weights")


@pytest.mark.parametrize("file", LOADERS.values())
def test_downloads_are_held_against_a_checksum(file: PretrainedFile, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(url: str, path: str, sha256: str) -> None:
        asked.append((url, sha256))
        Path(path).touch()

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)

    assert file.fetch("a test") == file.fetch("a test") == file.path
    assert file.path.exists()
    assert asked == [(file.url, file.sha256)]
    assert len(file.sha256) >= 8
    assert file is I3D or f"-{file.sha256}.pth" in file.url


def test_a_download_with_another_checksum_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    published = tmp_path / "published.pth"
    torch.save({"weight": torch.ones(1, 1), "bias": torch.ones(1)}, published)
    checksum = hashlib.sha256(published.read_bytes()).hexdigest()
    file = PretrainedFile("nobody", "Linear", published.as_uri(), checksum[:8])

    with pytest.raises(UserError, match=r"a test needs nobody's Linear weights and they cannot be fetched .*hash"):
        replace(file, sha256="00000000").fetch("a test")
    assert not list(file.path.parent.iterdir())

    def build(weights: dict[str, Tensor]) -> nn.Linear:
        network = nn.Linear(1, 1)
        network.load_state_dict(weights)
        return network

    assert file.load(build, "a test").weight.item() == 1


def test_inception_computes_what_torch_fidelity_does() -> None:
    network = InceptionNetwork(filled_inception())
    frames = torch.from_numpy(np.random.RandomState(0).randint(0, 256, (1, 3, 24, 40)).astype(np.float32)) / 255

    features = networks.extract_features(network, frames, chunk_size=1)
    probabilities = network.class_probabilities(features)

    assert features.shape == (1, 2048)
    assert features[0, :5] == pytest.approx(
        [0, 0.7088464498519897, 0.026726866140961647, 0, 0.5407077670097351], rel=1e-4, abs=1e-5
    )
    assert features.mean() == pytest.approx(0.21050801873207092, rel=1e-5)
    assert probabilities.shape == (1, 1008)
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities.max() == pytest.approx(0.0027877504471689463, rel=1e-5)
    assert probabilities[0, :3] == pytest.approx(
        [0.0012090610107406974, 0.001729594892822206, 0.000688902335241437], rel=1e-5
    )


def test_inception_is_read_from_a_file() -> None:
    torch.save(compact(inception), INCEPTION.path)

    assert_frozen(networks.load_inception())


def test_lpips_computes_what_torchmetrics_does() -> None:
    arrays = load_arrays("metrics")
    weights = {
        f"features.{name}": torch.from_numpy(np.asarray(fill(f"vgg16.features.{name}", shape)))
        for name, shape in shapes(lambda: vgg16().features).items()
    }
    torch.save(weights | {"classifier.0.weight": torch.zeros(1)}, VGG16.path)
    network = networks.load_lpips_network()

    reference, generated = (torch.from_numpy(arrays[name][:1, :2]) for name in ("reference", "generated"))
    distances = lpips(network, reference, generated)

    assert distances[0].tolist() == pytest.approx([0.006315466016530991, 0.0061521525494754314], rel=1e-4)
    assert_frozen(network)


def test_the_similarity_network_is_read_from_a_file() -> None:
    weights = filled_vgg19()
    torch.save(weights, VGG19.path)

    network = networks.load_similarity_network()

    torch.testing.assert_close(network.get_parameter("levels.0.0.weight"), weights["features.0.weight"])
    assert_frozen(network)


def test_the_detector_is_built_as_torchvision_does(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, torch.device("meta"):
        patch.setattr(FasterRCNN_ResNet50_FPN_Weights, "get_state_dict", lambda *_, **__: {})
        patch.setattr(nn.Module, "load_state_dict", lambda *_: None)
        expected = fasterrcnn_resnet50_fpn(weights=FasterRCNN_ResNet50_FPN_Weights.COCO_V1).eval()
    torch.save(compact(lambda: expected), PERSON_DETECTOR.path)

    detector = networks.load_person_detector()

    assert str(detector) == str(expected)
    assert all((tensor == 0.5).all() for tensor in detector.state_dict().values())
    assert_frozen(detector)


class _Script(nn.Module):
    """Takes videos as I3D does, and answers with the mean of each frame's colours and the size of the videos."""

    def forward(
        self, videos: Tensor, rescale: bool = True, resize: bool = True, return_features: bool = False
    ) -> Tensor:
        assert return_features
        assert not rescale
        assert not resize
        size = torch.tensor([float(videos.shape[3]), float(videos.shape[4])])
        return torch.cat([videos.mean(dim=[3, 4]).flatten(1), size.expand(videos.shape[0], 2)], dim=1)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small TorchScript in the place of the published one."""
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        torch.jit.script(_Script()).save(str(I3D.path))
    checksum = hashlib.sha256(I3D.path.read_bytes()).hexdigest()
    monkeypatch.setattr(networks, "I3D", replace(I3D, sha256=checksum))
    return I3D.path


@pytest.mark.usefixtures("script")
def test_i3d_sees_colours_before_frames_in_full_size() -> None:
    colours = torch.rand(3, 10, 3)
    sequences = colours[..., None, None].expand(3, 10, 3, 16, 24)

    features = networks.extract_features(networks.load_i3d(), sequences, chunk_size=2)

    assert (features[:, -2:] == 224).all()
    np.testing.assert_allclose(features[:, :-2], (2 * colours - 1).movedim(2, 1).flatten(1), atol=1e-5)


def test_a_script_with_another_checksum_never_runs(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> None:
        raise AssertionError("foreign code was loaded")

    monkeypatch.setattr(torch.jit, "load", run)
    with script.open("ab") as file:
        file.write(b"\0")

    with pytest.raises(UserError, match=f"{script}: not intact I3D weights"):
        networks.load_i3d()


def test_sequences_that_are_too_short_are_refused() -> None:
    network = VideoNetwork(_Script())

    assert network(torch.zeros(1, 10, 3, 16, 16)).shape == (1, 32)
    with pytest.raises(UserError, match="at least 10 frames, these have 9"):
        network(torch.zeros(1, 9, 3, 16, 16))


def test_features_are_extracted_in_chunks() -> None:
    frames, sizes = torch.rand(7, 3, 4, 4), []

    def network(chunk: Tensor) -> Tensor:
        sizes.append(len(chunk))
        return chunk.mean(dim=(2, 3))

    features = networks.extract_features(network, frames, chunk_size=3)

    np.testing.assert_allclose(features, frames.mean(dim=(2, 3)), rtol=1e-6)
    assert sizes == [3, 3, 1]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_features_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(UserError, match="features of Identity are not finite"):
        networks.extract_features(nn.Identity(), torch.tensor([[1.0], [value]]), chunk_size=2)


def assert_frozen(network: nn.Module) -> None:
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
