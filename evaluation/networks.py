"""The pretrained networks of an evaluation: the sources of their weights, and the features that they compute.

Weights are downloaded on first use to `$TORCH_HOME/hub/checkpoints`; offline, the user can put them there.

Dimensions: N frames or sequences, B sequences, T frames of each, H x W pixels, F features.
"""

import hashlib
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torchmetrics.functional.image.lpips as torchmetrics_lpips
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import VGG16_Weights, inception_v3
from torchvision.models.detection import FasterRCNN, FasterRCNN_ResNet50_FPN_Weights
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from model.perceptual import VGG19, PerceptualNetwork
from utils.command import UserError
from utils.pretrained import Network, PretrainedFile

VGG16 = PretrainedFile("torchvision", "VGG16", VGG16_Weights.IMAGENET1K_V1.url, "397923af")
INCEPTION = PretrainedFile(
    "pytorch-fid",
    "Inception-v3",
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    "6726825d",
)
I3D = PretrainedFile(
    "StyleGAN-V",
    "I3D",
    "https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt?dl=1",
    "bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",
)
"""A TorchScript file contains code; it is run only if the full checksum matches."""
PERSON_DETECTOR = PretrainedFile(
    "torchvision", "person detector", FasterRCNN_ResNet50_FPN_Weights.COCO_V1.url, "258fb6c6"
)

INCEPTION_SIDE = 299
NUM_INCEPTION_CLASSES = 1008
I3D_SIDE = 224
LEAST_I3D_FRAMES = 10
NUM_COCO_CLASSES = 91

PROTOCOL = {
    "lpips": "VGG16 backbone, linear heads of version 0.1; frames at data.target_input_size.",
    "fid": "All frames at data.target_input_size; layer pool3 (2048 features) of TensorFlow's Inception-v3 of "
    f"2015-12-05, on frames resized to {INCEPTION_SIDE}x{INCEPTION_SIDE} as TensorFlow 1 does (bilinear, no "
    "antialiasing, aligned at the first pixel).",
    "fvd": "All frames of each sequence at data.target_input_size; logits (400) of TF-Hub's I3D of Kinetics-400 in its "
    f"TorchScript port, on frames in [-1, 1] resized to {I3D_SIDE}x{I3D_SIDE} (bilinear, no antialiasing). Sequences "
    f"of fewer than {LEAST_I3D_FRAMES} frames are refused, not padded.",
}
"""How the features of a metric are computed, by the metric's name."""


def extract_features(network: Callable[[Tensor], Tensor], items: Tensor, chunk_size: int) -> np.ndarray:
    """Return a network's features of each item, in CPU memory.

    Args:
        network: an `InceptionNetwork` or a `VideoNetwork`.
        items: (N, ...) frames or sequences.
        chunk_size: number of items that the network processes at a time.

    Returns:
        float32 (N, F).

    Raises:
        UserError: features are infinite or NaN.
    """
    features = torch.cat([network(chunk) for chunk in items.split(chunk_size)]).float().cpu().numpy()
    if not np.isfinite(features).all():
        raise UserError(
            f"the features of {type(network).__name__} are not finite; delete its file of weights in "
            f"{INCEPTION.path.parent} so that it is fetched again"
        )
    return features


def load_similarity_network() -> PerceptualNetwork:
    """Load the VGG19 of the cosine similarity.

    Raises:
        UserError: it is not available.
    """
    return VGG19.load(PerceptualNetwork, "VGG cosine similarity")


def load_lpips_network() -> nn.Module:
    """Load the network that computes the LPIPS distances (N, 1, 1, 1) of frames (N, 3, H, W).

    Raises:
        UserError: it is not available.
    """
    return VGG16.load(_build_lpips, "LPIPS")


def _build_lpips(weights: dict[str, Tensor]) -> nn.Module:
    """Build LPIPS from the `features.*` entries of a VGG16 state dict and the heads that torchmetrics ships."""
    with torch.device("meta"):
        network = torchmetrics_lpips._LPIPS(pretrained=False, net="vgg", pnet_rand=True)
    published = {name: name.replace(name.split(".")[0], "features") for name in network.net.state_dict()}
    network.net.load_state_dict({name: weights[key] for name, key in published.items()}, assign=True)
    heads = Path(torchmetrics_lpips.__file__).parent / "lpips_models" / "vgg.pth"
    network.load_state_dict(torch.load(heads, map_location="cpu", weights_only=True), strict=False, assign=True)
    return _freeze(network)


class InceptionNetwork(nn.Module):
    """The Inception-v3 of FID, KID and the Inception score, which equals TensorFlow's.

    It is torchvision's except for the pooled branch of its mixed blocks, which averages without the padding and, in the
    last block, takes the maximum.
    """

    def __init__(self, weights: dict[str, Tensor]) -> None:
        """Build the network from its state dict.

        Raises:
            RuntimeError: entries are missing or have other shapes.
        """
        super().__init__()
        with torch.device("meta"):
            network = inception_v3(
                weights=None, num_classes=NUM_INCEPTION_CLASSES, aux_logits=False, init_weights=False
            )
        network.load_state_dict(weights, assign=True)
        average = partial(functional.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)
        for name in ("5b", "5c", "5d", "6b", "6c", "6d", "6e", "7b"):
            _replace_pooling(network.get_submodule(f"Mixed_{name}"), average)
        _replace_pooling(
            network.get_submodule("Mixed_7c"), partial(functional.max_pool2d, kernel_size=3, stride=1, padding=1)
        )
        self.classifier = network.fc
        network.fc = nn.Identity()
        self.network = network
        _freeze(self)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the pool3 features (N, 2048) of frames (N, 3, H, W) in [0, 1]."""
        features: Tensor = self.network((255 * _resize_as_tensorflow(frames, INCEPTION_SIDE) - 128) / 128)
        return features

    def class_probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the class probabilities (N, 1008) of pool3 features (N, 2048); logits have no bias, as published."""
        weights = self.classifier.weight
        logits = torch.from_numpy(features).to(weights) @ weights.T
        return logits.softmax(dim=1).cpu().numpy()


def load_inception() -> InceptionNetwork:
    """Load the network for frames.

    Raises:
        UserError: it is not available.
    """
    return INCEPTION.load(InceptionNetwork, "comparing sets of frames (FID, KID, Inception score)")


def _replace_pooling(block: nn.Module, pool: Callable[[Tensor], Tensor]) -> None:
    """Replace the pooling of a mixed block of torchvision; its pooled branch gives the last channels."""
    branch = block.get_submodule("branch_pool")

    def replace(_: nn.Module, inputs: tuple[Tensor], features: Tensor) -> None:
        pooled = branch(pool(inputs[0]))
        features[:, -pooled.shape[1] :] = pooled

    block.register_forward_hook(replace)


def _resize_as_tensorflow(frames: Tensor, side: int) -> Tensor:
    """Resize frames (N, 3, H, W) to (N, 3, side, side) as TensorFlow 1 does, aligned at pixel 0, not at the border."""
    rows, columns = (
        2 * torch.arange(side, device=frames.device) * (size / side) / (size - 1) - 1 for size in frames.shape[-2:]
    )
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1).expand(len(frames), -1, -1, -1)
    return functional.grid_sample(frames, grid, padding_mode="border", align_corners=True)


class VideoNetwork(nn.Module):
    """The I3D of FVD."""

    def __init__(self, script: nn.Module) -> None:
        """Wrap the published TorchScript."""
        super().__init__()
        self.script = script
        self.eval().requires_grad_(False)

    def forward(self, sequences: Tensor) -> Tensor:
        """Return the logits (B, 400) of sequences (B, T, 3, H, W) in [0, 1].

        Raises:
            UserError: T is less than `LEAST_I3D_FRAMES`.
        """
        num_frames = sequences.shape[1]
        if num_frames < LEAST_I3D_FRAMES:
            raise UserError(
                f"FVD needs sequences of at least {LEAST_I3D_FRAMES} frames, these have {num_frames}; raise "
                "evaluation.batching.observations_count"
            )
        frames = functional.interpolate(sequences.flatten(0, 1), (I3D_SIDE, I3D_SIDE), mode="bilinear")
        videos = (2 * frames - 1).unflatten(0, (-1, num_frames)).movedim(1, 2)  # (B, 3, T, 224, 224)
        logits: Tensor = self.script(videos, rescale=False, resize=False, return_features=True)
        return logits


def load_i3d() -> VideoNetwork:
    """Load the network for sequences.

    Raises:
        UserError: it is not available, or its file is not the published one.
    """
    file = I3D.fetch("FVD")
    with file.open("rb") as contents:
        checksum = hashlib.file_digest(contents, "sha256").hexdigest()
    if checksum != I3D.sha256:
        raise I3D.damaged()
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # TorchScript is deprecated
        return VideoNetwork(torch.jit.load(file, map_location="cpu"))


def load_person_detector() -> FasterRCNN:
    """Load torchvision's Faster R-CNN for the 91 classes of COCO, of which 1 is a person.

    Raises:
        UserError: it is not available.
    """
    return PERSON_DETECTOR.load(_build_detector, "tracking the tennis player")


def _build_detector(weights: dict[str, Tensor]) -> FasterRCNN:
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=partial(FrozenBatchNorm2d, eps=0.0)
    )
    detector = FasterRCNN(backbone, NUM_COCO_CLASSES)
    detector.load_state_dict(weights)
    return _freeze(detector)


def _freeze(network: Network) -> Network:
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
