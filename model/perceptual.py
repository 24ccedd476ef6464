"""Frozen VGG19 features for the perceptual loss (docs/method.md#perceptual-loss)."""

import torch
from torch import Tensor, nn

from utils.pretrained import PretrainedFile

VGG19 = PretrainedFile("torchvision", "VGG19", "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", "dcbb9e9d")

LEVELS = ((0, 2), (2, 7), (7, 12), (12, 21), (21, 30))
"""Slices of torchvision's `vgg19().features` that end in relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1."""


class PerceptualNetwork(nn.Module):
    """VGG19 features at five levels, on frames in [-1, 1] without ImageNet normalisation, as published."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        """Build the network from a VGG19 state dict, of which only the `features.*` entries are used.

        Raises:
            RuntimeError: entries are missing or have other shapes.
        """
        super().__init__()
        from torchvision.models import vgg19  # takes seconds to import, and few runs need it

        with torch.device("meta"):
            network = vgg19()
        features = network.features[: LEVELS[-1][1]]
        published = {name: f"features.{name}" for name in features.state_dict()}
        features.load_state_dict({name: weights[key] for name, key in published.items() if key in weights}, assign=True)
        self.levels = nn.ModuleList(features[start:end] for start, end in LEVELS)
        self.requires_grad_(False)
        self.eval()
        self.to(memory_format=torch.channels_last)

    def forward(self, frames: Tensor) -> list[Tensor]:
        """Compute the five feature maps of frames (N, 3, H, W): (N, 64..512, H..H/16, W..W/16); H and W at least 16."""
        features = []
        for level in self.levels:
            frames = level(frames)
            features.append(frames)
        return features


def load_perceptual_network() -> PerceptualNetwork:
    """Load the network with torchvision's ImageNet weights, downloaded on first use.

    Raises:
        UserError: as `PretrainedFile.load`; the message says how to train without the network.
    """
    return VGG19.load(
        PerceptualNetwork,
        needed_for="the perceptual loss",
        alternative=", or train without it: --set training.loss_weights.perceptual_loss_lambda=0 "
        "--set training.loss_weights.perceptual_loss_lambda_pretraining=0",
    )
