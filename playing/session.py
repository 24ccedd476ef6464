"""Sequences played one after the other, each with its own recording."""

from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from playing.game import Game
from playing.recording import Event, Header, Recording, new_session_folder, read_frame, read_play
from playing.script import NEW_START
from playing.simulator import Simulator
from playing.starting_frames import StartingFrames
from utils.command import UserError, tell

REWIND = 0
"""The action of an event that undoes the last step."""


class Session:
    """A session of play, from the first sequence to the last.

    Attributes:
        game: the current sequence.
        sequence: its number, from 1.
        folder: the folder of the recordings; None if nothing is recorded.
    """

    def __init__(
        self, simulator: Simulator, draw: StartingFrames, header: Header, recordings_root: Path | None = None
    ) -> None:
        """Start the first sequence.

        Args:
            simulator: the model.
            draw: draws starting frames.
            header: the checkpoint and settings; its seed and the sequence's number determine starting frame and noise.
            recordings_root: the folder `play_results`; None records nothing.
        """
        self.simulator = simulator
        self.header = header
        self.folder = recordings_root and new_session_folder(recordings_root, header.run_name)
        self.sequence = 0
        self._draw = draw
        self._recording: Recording | None = None
        self.reset()

    def reset(self) -> None:
        """Start a sequence from a new starting frame."""
        self.close()
        self.sequence += 1
        random = np.random.default_rng((self.header.seed, self.sequence))
        self._begin(self._draw(random), int(random.integers(2**31)))

    def act(self, action: int, noise: bool = False) -> None:
        """Take an action from 1 to K."""
        self.game.act(action - 1, noise)
        self._record(action, noise)

    def rewind(self) -> None:
        """Undo the last step, if there is one."""
        if self.game.can_rewind:
            self.game.rewind()
            self._record(REWIND, False)

    def close(self) -> None:
        """Finish the recording."""
        if self._recording is not None:
            recording, self._recording = self._recording, None
            recording.close()

    def _begin(self, stack: np.ndarray, seed: int) -> None:
        self.game = Game(self.simulator, stack, seed)
        if self.folder is not None:
            header = replace(self.header, seed=seed)
            self._recording = Recording(self.folder / sequence_name(self.sequence), header, stack)

    def _record(self, action: int, noise: bool) -> None:
        if self._recording is not None:
            self._recording.add(Event(action, noise, round(self._recording.seconds(), 4)), self.game.frame)


def sequence_name(number: int) -> str:
    """Return the name of a sequence's folder in that of its session."""
    return f"{number:05d}"


def play_script(session: Session, keys: list[int], noise: bool) -> None:
    """Press keys, as parsed by `playing.script`, without a screen."""
    for key in tqdm(keys, desc="playing", unit="frame", disable=None):
        if key == NEW_START:
            session.reset()
        else:
            session.act(key, noise)


def replay(simulator: Simulator, path: Path, header: Header, recordings_root: Path | None) -> tuple[Path | None, int]:
    """Replay a recorded sequence with its starting frame, actions, noise and timing.

    Returns:
        The folder of the new recording, if any, and the number of frames that are not bit for bit the recorded ones.

    Raises:
        UserError: the recording cannot be read, or is of a model with another number of actions or another frame size.
    """
    played, events, stack = read_play(path)
    if stack.shape != simulator.stack_shape or any(event.action > simulator.actions_count for event in events):
        raise UserError(f"{path}: recorded with a model of another frame size or number of actions; give its --config")
    if played.checkpoint_sha256 != header.checkpoint_sha256:
        tell(f"{path}: recorded with another checkpoint than {header.checkpoint}, so that frames will differ")
    game = Game(simulator, stack, played.seed)
    folder = recordings_root and new_session_folder(recordings_root, header.run_name)
    header = replace(header, seed=played.seed, frame_rate=played.frame_rate)
    recording = Recording(folder / sequence_name(1), header, stack) if folder else None
    num_different = 0
    with closing(recording) if recording else nullcontext():
        for number, event in enumerate(tqdm(events, desc="replaying", unit="frame", disable=None), start=1):
            if event.action == REWIND:
                game.rewind()
            else:
                game.act(event.action - 1, event.noise)
            recorded = read_frame(path, number)
            num_different += recorded is None or not np.array_equal(recorded, game.frame)
            if recording:
                recording.add(event, game.frame)
    return folder, num_different
