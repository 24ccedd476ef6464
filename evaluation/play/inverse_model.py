"""A small inverse model: reads the action off two consecutive frames, learned from true frames in a few seconds.

It is taught the actions that the playable model infers from true frames. Where it reads them off generated frames too,
these move as true ones do.

Dimensions: N steps, K actions, H x W pixels of a frame, h x w pixels of a reduced one.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from evaluation.play.true_play import Stretch

LONGEST_SIDE = 96
"""Pixels to which a longer side of a frame is reduced at most, by a whole factor, and averaging."""

BATCH_SIZE, PASSES = 32, 20
FEWEST_STEPS, MOST_STEPS = 50, 400
"""The number of training steps is such that the lessons are seen `PASSES` times, within these limits."""

LEARNING_RATE, WEIGHT_DECAY = 2e-3, 0.05
BRIGHTNESS = 0.1
"""Standard deviation of the random offset of a pair's colours in [-1, 1], so that small differences do not matter."""

CHUNK = 256
"""Number of pairs that are read at a time."""


class InverseModel(nn.Module):
    """Predicts the action between two frames. The features are pooled in a coarse grid, which tells where it moves."""

    def __init__(self, actions_count: int) -> None:
        """Create the network with random weights."""
        super().__init__()
        widths = (6, 16, 32, 64, 64)
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(itertools.pairwise(widths)):
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
    lessons = _Lessons.of(stretches)
    counts = torch.bincount(lessons.actions, minlength=actions_count)
    num_steps = min(MOST_STEPS, max(FEWEST_STEPS, len(lessons.actions) * PASSES // BATCH_SIZE))
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        model = InverseModel(actions_count).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=num_steps)
        for _ in tqdm(range(num_steps), desc="training the inverse model", unit="step", disable=None):
            chosen = torch.multinomial(1 / counts[lessons.actions], BATCH_SIZE, replacement=True, generator=random)
            logits = model(_jittered(_scaled(lessons.pairs(chosen).to(device))))
            loss = functional.cross_entropy(logits, lessons.actions[chosen].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval().requires_grad_(False)


@dataclass(frozen=True)
class _Lessons:
    """True steps with their actions; frames are kept once, and reduced."""

    frames: Tensor  # uint8 (M, 3, h, w)
    firsts: Tensor  # int64 (N,): the frame before each step; the next one is after it
    actions: Tensor  # int64 (N,)

    @classmethod
    def of(cls, stretches: Iterable[Stretch]) -> "_Lessons":
        """Collect the steps of stretches."""
        frames, firsts, actions = [], [], []
        num_frames = 0
        for stretch in stretches:
            for sequence, taken in zip(stretch.frames, stretch.actions, strict=True):
                frames.append(reduce_frames(torch.from_numpy(sequence)))
                firsts.append(num_frames + torch.arange(len(taken)))
                actions.append(torch.from_numpy(taken))
                num_frames += len(sequence)
        return cls(torch.cat(frames), torch.cat(firsts), torch.cat(actions))

    def pairs(self, steps: Tensor) -> Tensor:
        """Return the frames before and after steps: uint8 (len(steps), 6, h, w)."""
        firsts = self.firsts[steps]
        return torch.cat([self.frames[firsts], self.frames[firsts + 1]], dim=1)


def _scaled(pairs: Tensor) -> Tensor:
    """Map uint8 pairs to [-1, 1]."""
    return pairs.float().div_(127.5).sub_(1)


def _jittered(pairs: Tensor) -> Tensor:
    """Shift the colours of each pair."""
    return pairs + BRIGHTNESS * torch.randn(len(pairs), 1, 1, 1, device=pairs.device)
