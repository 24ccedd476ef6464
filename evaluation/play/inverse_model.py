"""A small inverse model: reads the action off two consecutive frames, learned from true frames in a few seconds.

It is taught the actions that the playable model infers from true frames. Where it reads them off generated frames too,
these move as true ones do.

Dimensions: N steps, K actions, H x W pixels of a frame, h x w pixels of a reduced one.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from evaluation.play.true_play import Stretch

LONGEST_SIDE = 96
"""Pixels to which a longer side of a frame is reduced at most, by a whole factor, and averaging."""

TRAINING_STEPS, BATCH_SIZE = 400, 32
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 0.05
BRIGHTNESS, NOISE = 0.1, 0.03
"""Standard deviations of the random offset of a pair's colours, and of its pixels' noise, in [-1, 1], so that small
differences in colour do not matter."""

CHUNK = 256
"""Number of pairs that are read at a time."""


class InverseModel(nn.Module):
    """Predicts the action between two frames. The features are pooled in a coarse grid, which tells where it moves."""

    def __init__(self, actions_count: int) -> None:
        """Create the network with random weights."""
        super().__init__()
        widths = (6, 16, 32, 64, 64)
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
            side = 3 if index else 5
            layers += [nn.Conv2d(before, after, side, stride=2, padding=side // 2, bias=False)]
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
        grid = 4
        self.network = nn.Sequential(
            *layers,
            nn.AdaptiveMaxPool2d(grid),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(widths[-1] * grid**2, actions_count),
        )

    def forward(self, pairs: Tensor) -> Tensor:
        """Return logits (N, K) for pairs (N, 6, h, w) in [-1, 1], the earlier frame first."""
        logits: Tensor = self.network(pairs)
        return logits

    @torch.inference_mode()
    def read(self, frames: np.ndarray) -> np.ndarray:
        """Return the most probable action (T-1,) of each step of a sequence of frames, uint8 (T, H, W, 3)."""
        device = next(self.parameters()).device
        reduced = reduce_frames(torch.from_numpy(frames).to(device))
        pairs = torch.cat([reduced[:-1], reduced[1:]], dim=1)
        logits = torch.cat([self(_scaled(chunk)) for chunk in pairs.split(CHUNK)])
        actions: np.ndarray = logits.argmax(dim=1).cpu().numpy()
        return actions


def reduce_frames(frames: Tensor) -> Tensor:
    """Reduce frames uint8 (N, H, W, 3) to a longer side of at most `LONGEST_SIDE`: uint8 (N, 3, h, w)."""
    factor = -(-max(frames.shape[1:3]) // LONGEST_SIDE)
    frames = frames.movedim(-1, 1)
    if factor == 1:
        return frames
    return functional.avg_pool2d(frames.float(), factor, ceil_mode=True).round().to(torch.uint8)


def train_inverse_model(
    stretches: Iterable[Stretch], actions_count: int, device: torch.device, seed: int = 0
) -> InverseModel:
    """Train an inverse model on true frames and the actions inferred from them.

    All actions that occur are drawn equally often. The global random state is not changed.

    Args:
        stretches: the frames and actions; frames are kept at the reduced size.
        actions_count: K.
        device: the device to train on.
        seed: seed of the weights and of all drawing.
    """
    pairs, actions = _collect(stretches)
    counts = torch.bincount(actions, minlength=actions_count)
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        model = InverseModel(actions_count).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=TRAINING_STEPS)
        for _ in tqdm(range(TRAINING_STEPS), desc="training the inverse model", unit="step", disable=None):
            chosen = torch.multinomial(1 / counts[actions], BATCH_SIZE, replacement=True, generator=random)
            loss = functional.cross_entropy(
                model(_jittered(_scaled(pairs[chosen].to(device)))), actions[chosen].to(device)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval().requires_grad_(False)


def _collect(stretches: Iterable[Stretch]) -> tuple[Tensor, Tensor]:
    """Return all pairs of frames, uint8 (N, 6, h, w), and the actions (N,) between them."""
    pairs, actions = [], []
    for stretch in stretches:
        for frames, taken in zip(stretch.frames, stretch.actions, strict=True):
            reduced = reduce_frames(torch.from_numpy(frames))
            pairs.append(torch.cat([reduced[:-1], reduced[1:]], dim=1))
            actions.append(torch.from_numpy(taken))
    return torch.cat(pairs), torch.cat(actions)


def _scaled(pairs: Tensor) -> Tensor:
    """Map uint8 pairs to [-1, 1]."""
    return pairs.float().div_(127.5).sub_(1)


def _jittered(pairs: Tensor) -> Tensor:
    """Shift the colours of each pair, and add noise."""
    offsets = BRIGHTNESS * torch.randn(len(pairs), 1, 1, 1, device=pairs.device)
    return pairs + offsets + NOISE * torch.randn_like(pairs)
