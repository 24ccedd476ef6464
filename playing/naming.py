"""Names for the actions of a model: what each does is shown, and its name is asked for and stored."""

import numpy as np

from playing.hints import ACTION_NAMES, read_hints
from playing.options import PlayOptions
from playing.simulator import Simulator, checkpoint_path, load_simulator, play_games
from playing.starting_frames import choose_starting_frames
from utils.action_names import MAX_NAME_LENGTH, is_action_name
from utils.checkpoint import is_shared, save_checkpoint
from utils.command import UserError
from utils.configuration import Configuration
from utils.device import select_device
from utils.files import require_writable
from utils.images import labelled, save_image, tile, visible

NUM_STEPS = 7
"""Steps that each action is held in the picture."""


def name_actions(config: Configuration, options: PlayOptions) -> None:
    """Write a picture of what each action does, ask for the names on the terminal, and store them in the checkpoint.

    Names that the checkpoint has already are replaced only where the user agrees.

    Raises:
        UserError: something is missing or damaged, or a name was not given; nothing is stored then.
    """
    path = checkpoint_path(config, options.checkpoint)
    if is_shared(path):
        raise UserError(f"{path}: was shared, and is only read; name the actions of the checkpoint that it is made of")
    simulator, checkpoint = load_simulator(config, select_device(options.device), path)
    before = read_hints(checkpoint, path, simulator.actions_count).action_names
    draw, source = choose_starting_frames(config, options.initial_frame, checkpoint)
    require_writable(options.play_root, "choose another --play_root")
    picture = options.play_root / config.logging.run_name / "actions.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    save_image(picture, picture_of_actions(simulator, draw(np.random.default_rng(options.seed))))
    print(f"pictured    {picture}: each action from {source}, held for {NUM_STEPS} steps")
    names = [_ask(action, before[action] if before else None) for action in range(simulator.actions_count)]
    if before is not None and names != list(before) and not _agrees(before):
        print(f"kept        {', '.join(before)}")
        return
    save_checkpoint(path, {**checkpoint, ACTION_NAMES: names})
    print(f"stored      {', '.join(names)} in {path}")


def picture_of_actions(simulator: Simulator, stack: np.ndarray) -> np.ndarray:
    """Hold each action from one starting stack (S, H, W, 3): uint8 (height, width, 3), a row for each action."""
    count = simulator.actions_count
    script = np.repeat(np.arange(count)[:, None], NUM_STEPS, axis=1)
    frames = visible(play_games(simulator, np.stack([stack] * count), script))
    for action, row in enumerate(frames):
        row[0] = labelled(row[0], str(action + 1))
    return tile(frames)


def _ask(action: int, before: str | None) -> str:
    """Ask for the name of an action, from 0, until one is given; none keeps the name before."""
    while True:
        given = _answer(f"name of action {action + 1}{f' [{before}]' if before else ''}: ") or before
        if is_action_name(given):
            assert given is not None
            return given
        print(f"a name has 1 to {MAX_NAME_LENGTH} printable characters")


def _agrees(before: tuple[str, ...]) -> bool:
    return _answer(f"replace {', '.join(before)}? [y/N]: ").lower() in ("y", "yes")


def _answer(question: str) -> str:
    try:
        return input(question).strip()
    except EOFError as error:
        raise UserError(f"{question.strip()} no answer; nothing was stored: run it in a terminal") from error
