"""A checkpoint becomes a folder to give away: weights, configuration, starting frames, animation and model card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from evaluation.play.games import ANIMATED_FRAMES, ANIMATED_GAMES, animated, random_script
from playing.hints import ACTION_NAMES, read_hints
from playing.simulator import Simulator, build_simulator, checkpoint_path, digest, play_games
from playing.starting_frames import choose_starting_frames
from sharing.card import CardFacts, model_card
from sharing.figures import find_figures
from training.release import KEPT, half_precision
from utils.checkpoint import load_checkpoint
from utils.command import UserError, tell
from utils.configuration import Configuration
from utils.device import select_device
from utils.images import save_animation
from utils.shared_model import ANIMATION, CARD, write_shared_model


@dataclass(frozen=True)
class FolderOptions:
    """The options of `push` that decide what is in the folder."""

    checkpoint: Path | None = None
    """None for the newest of the run."""
    half: bool = False
    """Whether weights are stored in half precision."""
    license: str | None = None
    """A licence by the name that the Hub has for it."""
    playability: Path | None = None
    evaluation: Path | None = None
    """What was measured; None for the files of the run, if there are any."""
    animation: Path | None = None
    """A GIF; None to play one."""
    device: str = "auto"


def write_folder(config: Configuration, options: FolderOptions, folder: Path, named: str) -> None:
    """Write all that play needs of a checkpoint into an empty folder, with a model card.

    Args:
        config: the configuration of the model.
        options: what goes into the folder.
        folder: the folder.
        named: what the card gives as `--checkpoint`.

    Raises:
        UserError: something is missing, damaged or invalid.
        OSError: the folder cannot be written.
    """
    path = checkpoint_path(config, options.checkpoint)
    checkpoint = load_checkpoint(path)
    if ACTION_NAMES not in checkpoint and config.data.action_names:
        checkpoint[ACTION_NAMES] = config.data.action_names
    hints = read_hints(checkpoint, path, config.data.actions_count)
    figures = find_figures(config, digest(path), options.playability, options.evaluation)
    weights = half_precision(checkpoint["model"], path) if options.half else checkpoint["model"]
    contents = {name: checkpoint[name] for name in KEPT if name in checkpoint}
    contents |= {"model": weights, "config": config.model_dump(mode="json")}
    simulator = build_simulator(config, contents, path, select_device(options.device))

    write_shared_model(folder, contents)
    facts = CardFacts(
        config=config,
        checkpoint=named,
        action_names=hints.action_names,
        num_parameters=sum(parameter.numel() for parameter in simulator.model.parameters()),
        is_half=_is_half(weights),
        is_rounded=_is_half(weights) and not _is_half(checkpoint["model"]),
        step=contents.get("step"),
        has_animation=_write_animation(folder / ANIMATION, config, contents, simulator, options.animation),
        license=options.license,
        figures=figures,
    )
    (folder / CARD).write_text(model_card(facts), encoding="utf-8")


def _is_half(weights: dict[str, torch.Tensor]) -> bool:
    return all(weight.dtype == torch.float16 for weight in weights.values() if weight.is_floating_point())


def _write_animation(
    path: Path, config: Configuration, checkpoint: dict[str, Any], simulator: Simulator, given: Path | None
) -> bool:
    """Copy the animation that is given, else play one; return whether there is one."""
    if given is not None:
        path.write_bytes(_read_gif(given))
        return True
    try:
        draw, _ = choose_starting_frames(config, None, checkpoint)
    except UserError as reason:
        tell(f"without an animation: {reason}")
        return False
    random = np.random.default_rng(0)
    stacks = np.stack([draw(random) for _ in range(ANIMATED_GAMES)])
    script = random_script(random, range(simulator.actions_count), ANIMATED_GAMES, ANIMATED_FRAMES)
    save_animation(path, animated(play_games(simulator, stacks, script), script))
    return True


def _read_gif(path: Path) -> bytes:
    try:
        with Image.open(path, formats=["gif"]) as image:
            image.verify()
        return path.read_bytes()
    except Exception as error:  # decoders raise exceptions of many kinds for damaged files
        raise UserError(f"--animation {path}: not a GIF that can be read") from error
