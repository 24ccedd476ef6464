"""A session of play: its parts are built in the order in which the user's mistakes are found soonest."""

from pathlib import Path

import torch

from playing.hints import Hints, read_hints
from playing.manner import USUAL_FPS, Manner
from playing.options import PlayOptions
from playing.recording import Header
from playing.script import parse_script
from playing.session import Session, play_script, replay
from playing.simulator import checkpoint_path, digest, load_simulator
from playing.starting_frames import choose_starting_frames
from utils.command import UserError
from utils.configuration import Configuration
from utils.device import ANOTHER_DEVICE, explaining_lack_of_memory, select_device
from utils.files import require_writable


def choose_manner(options: PlayOptions, hints: Hints) -> Manner:
    """Return the settings of a game: those of the options, else of the checkpoint, else the defaults."""
    return Manner(
        windowed=options.windowed,
        real_time=hints.real_time_fps is not None if options.real_time is None else options.real_time,
        fps=options.fps or hints.real_time_fps or USUAL_FPS,
        idle_action=options.idle_action or hints.idle_action,
        noise=options.noise,
        action_names=hints.action_names,
    )


def play(config: Configuration, options: PlayOptions) -> None:
    """Play a checkpoint, by default the run's latest, in a window or by a script, or replay a recording.

    Raises:
        UserError: something is missing, damaged or invalid.
    """
    actions_count = config.data.actions_count
    keys = parse_script(options.actions, actions_count) if options.actions is not None else None
    if options.idle_action is not None and not 1 <= options.idle_action <= actions_count:
        raise UserError(f"--idle_action {options.idle_action}: the actions of this model are 1 to {actions_count}")
    device = select_device(options.device)
    if keys is None and options.replay is None:
        from playing.window import require_screen

        require_screen()
    recordings_root = None if options.no_recording else options.play_root
    if recordings_root:
        require_writable(recordings_root, "choose another --play_root, or --no_recording")
    with explaining_lack_of_memory(device, ANOTHER_DEVICE):
        _play_on(device, config, options, keys, recordings_root)


def _play_on(
    device: torch.device,
    config: Configuration,
    options: PlayOptions,
    keys: list[int] | None,
    recordings_root: Path | None,
) -> None:
    """Play with the keys of a script, in a window if there are none, or replay; record if there is a folder for it."""
    actions_count = config.data.actions_count
    simulator, checkpoint = load_simulator(config, device, options.checkpoint)
    path = checkpoint_path(config, options.checkpoint)
    manner = choose_manner(options, read_hints(checkpoint, path, actions_count))
    header = Header(config.logging.run_name, str(path), digest(path), device.type, options.seed, manner.fps)
    if options.replay is not None:
        folder, num_different = replay(simulator, options.replay, header, recordings_root)
        outcome = f"{num_different} frame(s) differ from" if num_different else "every frame is as in"
        print(f"replayed    {outcome} {options.replay}")
    else:
        draw, source = choose_starting_frames(config, options.initial_frame, checkpoint)
        print(f"starting from {source}")
        session = Session(simulator, draw, header, recordings_root)
        folder = session.folder
        try:
            if keys is not None:
                play_script(session, keys, manner.noise)
            else:
                from playing.window import Window

                Window(session, manner).run()
        finally:
            session.close()
    if folder:
        print(f"recording   {folder}")
