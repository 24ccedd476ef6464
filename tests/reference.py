"""Numbers that the published implementation computed, and the weights it computed them with.

`tests/fixtures/reference` holds, for each published configuration, the names, shapes and dtypes of all parameters
(`*.manifest.json`) and the inputs and outputs of several computations (`*.npz`, at reduced resolution). The weights
themselves are no files: `fill` gives every tensor the same values on every machine.
"""

import json
import zlib
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torchvision.models import vgg19

from model.caddy import Caddy
from tests.configurations import AUTHORS_CONFIGURATIONS, FIXTURES, published_configuration

REFERENCE = FIXTURES / "reference"
NAMES = tuple(AUTHORS_CONFIGURATIONS)

Arrays = dict[str, np.ndarray]
Manifest = dict[str, tuple[str, tuple[int, ...]]]
"""Name to dtype and shape, in the order of the published state dict."""


def fill(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values for the tensor `name`: scaled standard normals seeded by the CRC-32 of the name.

    Weights of rank >= 2 are scaled by 1/sqrt(fan_in); normalisation scales and running variances lie around 1; the
    variance head of the action network is zero, so that sampling returns the mean.
    """
    normal = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if "variance_fc" in name:
        return np.zeros(shape, np.float32)
    if name.endswith("running_var"):
        return (1 + 0.1 * np.abs(normal)).astype(np.float32)
    if len(shape) >= 2 and "initial_hidden" not in name and "centroids" not in name:
        return (normal / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
    if name.endswith("weight"):  # rank 1: a normalisation scale
        return (1 + 0.1 * normal).astype(np.float32)
    return (0.1 * normal).astype(np.float32)


@cache
def load_arrays(name: str) -> Arrays:
    """The arrays of `<name>.npz`; not to be changed."""
    with np.load(REFERENCE / f"{name}.npz") as arrays:
        return dict(arrays)


def read_manifest(name: str) -> Manifest:
    """The parameters of a published configuration at its full resolution."""
    entries = json.loads((REFERENCE / f"{name}.manifest.json").read_text())
    return {parameter: (dtype, tuple(shape)) for parameter, (dtype, shape) in entries.items()}


def observations(arrays: Arrays) -> Tensor:
    """The input of a fixture: uniform in [-1, 1], (B, T, 3S, height, width)."""
    random = np.random.RandomState(int(arrays["observations_seed"]))
    return torch.from_numpy(random.uniform(-1, 1, tuple(arrays["observations_shape"])).astype(np.float32))


def filled_caddy(name: str, frame_size: tuple[int, int], *overrides: str) -> Caddy:
    """The model of a published configuration with filled weights, for frames of (height, width) pixels."""
    height, width = frame_size
    config = published_configuration(
        name,
        f"model.representation_network.target_input_size=[{width}, {height}]",
        f"model.representation_network.state_resolution=[{height // 8}, {width // 8}]",
        *overrides,
    )
    model = Caddy(config)
    model.load_state_dict(_filled_state_dict(name, frame_size))
    return model


@cache
def _filled_state_dict(name: str, frame_size: tuple[int, int]) -> dict[str, Tensor]:
    """Of every entry in the manifest; the learned initial states of the ConvLSTMs take the frames' resolution."""
    height, width = (side // 8 for side in frame_size)
    state = {}
    for parameter, (dtype, shape) in read_manifest(name).items():
        if "initial_hidden" in parameter:
            scale = 2 if "blocks.1." in parameter else 1
            shape = (shape[0], height // scale, width // scale)
        if dtype == "int64":
            state[parameter] = torch.zeros(shape, dtype=torch.int64)
        else:
            state[parameter] = torch.from_numpy(np.asarray(fill(parameter, shape)))
    return state


@cache
def filled_vgg19() -> dict[str, Tensor]:
    """The state dict that stands in for torchvision's VGG19 weights, as far as the perceptual loss uses them."""
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in vgg19().features[:30].state_dict().items()}
    return {
        f"features.{name}": torch.from_numpy(fill(f"vgg19.features.{name}", shape))
        * (1.4 if name.endswith("weight") else 1.0)
        for name, shape in shapes.items()
    }


def relative_error(actual: Tensor, expected: np.ndarray) -> float:
    """The largest difference, as a share of the largest expected magnitude; infinite if shapes or finiteness differ."""
    values = actual.detach().double().cpu().numpy()
    if values.shape != expected.shape or not np.isfinite(values).all():
        return float("inf")
    difference = np.abs(values - expected).max()
    return float(difference / max(np.abs(expected).max(), np.finfo(np.float32).tiny))
