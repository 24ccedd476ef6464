"""The preparation of footage: probe it, make the choices, convert it, and write configurations with their costs."""

import itertools
import os
import shlex
import shutil
import statistics
from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from dataset.acquisition.conversion import Conversion, ConversionOptions, convert_sources
from dataset.splits import find_split_videos
from dataset.video import Video
from preparation.choices import Choice, to_yaml
from preparation.costs import checkpoints_size, seconds_per_step, told_duration, told_size, training_memory
from preparation.duration import steps_within
from preparation.footage import (
    FEWEST_VIDEOS,
    HELD_OUT,
    Footage,
    choose_frame_rate,
    intact_frames,
    look_at,
    needs_cropping,
    share_out,
)
from preparation.label_table import Labels, read_labels, store_labels
from preparation.machine import Machine, find_machine
from preparation.movement_axis import movement_axis
from preparation.moving_regions import find_movement, pairs_of_frames
from preparation.plan import Plan, draft_plan
from preparation.played_part import (
    StoredFrame,
    Wanted,
    choose_part,
    describe_movement,
    draw_regions,
)
from preparation.recorded_labels import store_recorded_labels
from preparation.survey import MIN_OBSERVATIONS, MOVING_SHARE, Survey, survey
from utils.command import EXIT_DONE, EXIT_SKIPPED, UserError, tell
from utils.command_names import as_run_here
from utils.configuration import load_configuration
from utils.files import replacing, require_writable

NUM_SAMPLED_VIDEOS = 4
SAMPLED_FRAME = 30
"""Index of the frame from which the size of PNG files is estimated; by then most titles have faded in."""

KEYS_OF_PLAY = (
    b"play_region",
    b"initial_classifier_spread",
    b"initial_classifier_layout",
    b"initial_classifier_angle",
    b"action_directions_motion_source",
    b"action_directions_motion_lambda",
    b"action_directions_motion_lambda_pretraining",
)
"""Keys of a configuration that depend on what is played; the same command may choose it anew."""


@dataclass(frozen=True)
class Request:
    """The options of the command."""

    videos: Path
    name: str
    data_root: Path
    actions_count: int | None
    crop: tuple[int, int, int, int] | None
    """The box (left, top, right, bottom) of the footage to use, in pixels; None for whole frames."""
    frame_rate: float | None
    """Frames a second to keep; None chooses them from the footage."""
    device: str
    processes: int
    play: Wanted = None
    labels: Path | Literal["recorded"] | None = None
    """A table of labels: video, frame, action; or those that came with the footage."""
    minutes: float | None = None
    """Time that training may take on this machine; None for a usual number of steps."""

    @property
    def command(self) -> str:
        """The command line with the options that influence the result."""
        match self.play:
            case None:
                return self.command_without_play
            case "camera":
                return f"{self.command_without_play} --play camera"
            case tuple():
                return f"{self.command_without_play} --play_region {','.join(map(str, self.play))}"
        return f"{self.command_without_play} --play_region {self.play}"

    @property
    def command_without_play(self) -> str:
        """The command line without the options that choose what is played, which may be chosen anew."""
        options = ["--videos", _argument(self.videos), "--name", self.name, "--data_root", _argument(self.data_root)]
        if self.actions_count is not None:
            options += ["--actions", str(self.actions_count)]
        if self.crop is not None:
            options += ["--crop", *map(str, self.crop)]
        if self.frame_rate is not None:
            options += ["--fps", np.format_float_positional(self.frame_rate, trim="-")]
        if self.labels is not None:
            options += ["--labels", _argument(Path(self.labels))]
        if self.minutes is not None:
            options += ["--minutes", np.format_float_positional(self.minutes, trim="-")]
        words = ["python", "-m", "dataset.acquisition.prepare", *options, "--device", self.device]
        return as_run_here(" ".join(map(_quoted, words)))

    @property
    def config(self) -> Path:
        """The path of the training's configuration."""
        return Path("configs", f"{self.name}.yaml")

    @property
    def evaluation_config(self) -> Path:
        """The path of the evaluation's configuration."""
        return Path("configs", "evaluation", f"{self.name}.yaml")


def prepare(request: Request) -> int:
    """Prepare footage, or continue an interrupted preparation.

    Returns:
        The exit code: done, or done with some footage left out.

    Raises:
        UserError: there is no usable footage, no disk space for it, or the name is taken.
    """
    _require_free(request)
    labels = read_labels(request.labels, request.actions_count) if isinstance(request.labels, Path) else None
    machine = find_machine(request.device)
    footage = look_at(request.videos)
    if request.crop:
        footage = footage.cropped(request.crop)
    frame_rate = Fraction(request.frame_rate) if request.frame_rate else choose_frame_rate(footage)
    _require_length(request, footage, frame_rate)
    draft = draft_plan(request.name, request.data_root, footage, machine)
    if request.minutes:
        draft = draft.within(request.minutes, _num_steps(request.minutes, request, draft, machine))
    frame = _stored_frame(request, footage, draft)
    if labels:
        labels.require_frames(footage)
    if isinstance(request.play, tuple):
        frame.stored(request.play)
    _tell_conversion(request, footage, frame_rate, draft)

    conversion = _convert(request, footage, frame_rate, draft)
    found = survey(request.data_root)
    plan = draft.after(found, labels.known.actions_count if labels else request.actions_count)
    if request.labels:
        plan = _with_labels(request, plan, labels, footage, frame_rate, found.num_frames)
    plan = _with_part(request, plan, frame)
    _write(request, plan, machine)
    _tell_result(request, found, plan, machine)
    skipped = footage.skipped | conversion.skipped
    if max(found.moving_shares) < MOVING_SHARE:
        print(
            "warning: hardly anything moves in this footage, so that there are no actions to discover; give footage of "
            "something that moves, or let --crop choose the part where it does"
        )
    for name, problem in conversion.warnings.items():
        print(f"warning: {name}: {problem}; the intact frames were kept")
    for name, reason in skipped.items():
        print(f"skipped {name}: {reason}")
    return EXIT_SKIPPED if skipped or conversion.warnings else EXIT_DONE


def _with_labels(
    request: Request,
    plan: Plan,
    table: Labels | None,
    footage: Footage,
    frame_rate: Fraction | None,
    num_frames: int,
) -> Plan:
    """Return the plan with the actions that labels tell apart, after storing them with the frames.

    Args:
        request: the options.
        plan: the plan so far.
        table: the labels; None for those that came with the footage.
        footage: the footage that the table is about.
        frame_rate: frames a second of the data set; None for those of the footage.
        num_frames: frames in the data set.

    Raises:
        UserError: no usable labels came with the footage.
    """
    num_contradicting = 0
    if table is None:
        actions, num_labelled = store_recorded_labels(request.data_root, request.actions_count)
    else:
        actions = table.known
        num_labelled, num_contradicting = store_labels(table, footage, frame_rate, request.data_root)
    left_out = f"; {num_contradicting} left out, on which two labels fall" if num_contradicting else ""
    print(f"labels      {num_labelled} of {num_frames} frames, {actions.described}{left_out}")
    count = Choice(actions.actions_count, "as many as the labels have, or as asked for with --actions")
    return replace(plan, labels=actions, actions_count=count)


def _num_steps(minutes: float, request: Request, plan: Plan, machine: Machine) -> int:
    """Return how many steps fit into some minutes: measured once, then those of the written configuration.

    Raises:
        UserError: too few to train, or the configuration was spoilt.
    """
    if request.config.exists():
        return load_configuration(request.config).training.max_steps
    return steps_within(minutes, seconds_per_step(plan.configuration, machine.device))


def _stored_frame(request: Request, footage: Footage, plan: Plan) -> StoredFrame:
    """Describe how most frames of the footage are stored."""
    width, height = plan.size.value
    crop = request.crop or (0, 0, *footage.size)
    return StoredFrame.of(crop, (width, height), needs_cropping(footage, (width, height)))


def _with_part(request: Request, plan: Plan, frame: StoredFrame) -> Plan:
    """Return the plan with the part that is played, after telling and drawing what moves.

    Raises:
        UserError: nothing moves, or the part that is wanted cannot be played.
    """
    videos = [Video(path) for path in find_split_videos(request.data_root, "train")]
    before, after = pairs_of_frames(videos, stride=plan.skip_frames.value + 1)
    movement = find_movement(before, after)
    if movement.is_still:
        raise UserError(f"{request.videos}: nothing moves in the frames that were compared; give footage of movement")
    part = choose_part(request.play, movement, frame)
    part = replace(part, axis=movement_axis(before, after, part.region.value, part.source.value == "camera"))
    picture = request.data_root / "play_regions.png"
    draw_regions(picture, videos, movement.regions, part.region.value)
    for index, line in enumerate(describe_movement(movement, frame)):
        print(f"{'' if index else 'moves':<11} {line}")
    taken = "the camera" if part.source.value == "camera" else part.region.why
    others = "--play camera" if movement.camera_moves else "--play_region 2" if len(movement.regions) > 1 else ""
    print(f"played      {taken} ({picture}{f'; {others} takes another' if others and request.play is None else ''})")
    return replace(plan, part=part)


def _require_free(request: Request) -> None:
    """Check that configurations with this name do not exist, or were written by the same command.

    Raises:
        UserError: they were not, or a folder cannot be written.
    """
    require_writable(request.data_root, "choose another --data_root")
    if str(request.data_root).encode(errors="ignore") != os.fsencode(request.data_root):
        raise UserError(f"{request.data_root}: not a name in UTF-8, as configurations need; choose another --data_root")
    for path in (request.config, request.evaluation_config):
        require_writable(path.parent, "go to a folder where you may write")
        if path.exists() and not any(_is_command(request, line) for line in path.read_bytes().splitlines()):
            raise UserError(f"{path}: exists, from elsewhere or from other options; choose another --name or remove it")


def _is_command(request: Request, line: bytes) -> bool:
    """Whether a line of a configuration holds the command, perhaps with another choice of what is played."""
    command = f"# {request.command_without_play}".encode()
    return line == command or line.startswith(command + b" --play")


def _without_play(request: Request, text: bytes) -> list[bytes]:
    """The lines of a configuration that do not depend on what is played."""
    return [
        line
        for line in text.splitlines()
        if not _is_command(request, line) and line.partition(b":")[0].strip() not in KEYS_OF_PLAY
    ]


def _require_length(request: Request, footage: Footage, frame_rate: Fraction | None) -> None:
    lengths = footage.stored_lengths(frame_rate)
    num_needed = MIN_OBSERVATIONS if len(footage.sources) >= FEWEST_VIDEOS else int(MIN_OBSERVATIONS / HELD_OUT)
    if len(lengths) == len(footage.sources) and max(lengths) < num_needed:
        rate = f" at {float(frame_rate):.3g} a second" if frame_rate else ""
        raise UserError(
            f"{request.videos}: too little footage: the longest of {len(lengths)} videos has {max(lengths)} "
            f"frames{rate}; give one with {num_needed}, or {FEWEST_VIDEOS} with {MIN_OBSERVATIONS} each"
        )


def _tell_conversion(request: Request, footage: Footage, frame_rate: Fraction | None, plan: Plan) -> None:
    """Print the source and the target of the conversion.

    Raises:
        UserError: there is not enough disk space.
    """
    width, height = plan.size.value
    rate = f" at {float(frame_rate):.3g} frames a second" if frame_rate else ""
    lengths = footage.stored_lengths(frame_rate)
    about = ""
    if lengths:
        num_frames = round(statistics.fmean(lengths) * len(footage.sources))
        num_bytes = num_frames * _frame_bytes(footage, (width, height))
        folder = next(path for path in (request.data_root, *request.data_root.absolute().parents) if path.exists())
        free = shutil.disk_usage(folder).free
        if num_bytes > free:
            raise UserError(
                f"{request.data_root}: about {num_frames} frames will take {told_size(num_bytes)}, "
                f"and {told_size(free)} are free there; free some space, or choose another --data_root"
            )
        about = f": about {num_frames} frames, {told_size(num_bytes)}"
    tell(f"found       {len(footage.sources)} video(s) of {'x'.join(map(str, footage.size))} in {request.videos}")
    tell(f"converting  to {width}x{height}{rate} in {request.data_root}{about}")


def _frame_bytes(footage: Footage, size: tuple[int, int]) -> int:
    """Estimate the bytes of a frame as a PNG file."""
    num_sampled = min(NUM_SAMPLED_VIDEOS, len(footage.sources))
    sizes = []
    for source in footage.sources[:: len(footage.sources) // num_sampled][:num_sampled]:
        for frame in deque(itertools.islice(intact_frames(source), SAMPLED_FRAME), maxlen=1):
            encoded = BytesIO()
            Image.fromarray(frame.pixels).resize(size, Image.Resampling.BICUBIC).save(encoded, "PNG", compress_level=1)
            sizes.append(encoded.tell())
    return round(statistics.fmean(sizes or [3 * size[0] * size[1]]))


def _convert(request: Request, footage: Footage, frame_rate: Fraction | None, plan: Plan) -> Conversion:
    """Convert the footage, except for videos that the data set has already."""
    width, height = plan.size.value
    shared = share_out(footage)
    options = ConversionOptions(
        target_size=(width, height),
        frame_rate=None if frame_rate is None else float(frame_rate),
        crop=request.crop,
        keep_aspect="crop" if needs_cropping(footage, (width, height)) else "stretch",
        detect_cuts=True,
        splits=shared.fractions,
    )
    return convert_sources(shared.sources, options, request.data_root, request.processes)


def _write(request: Request, plan: Plan, machine: Machine) -> None:
    """Write both configurations, or neither.

    Raises:
        UserError: a file exists with other contents.
    """
    head = f"{request.name}, prepared for {machine.name} by\n{request.command}\n"
    texts = {
        request.config: to_yaml(head + "configs/02_breakout.yaml explains every key.", plan.training_choices),
        request.evaluation_config: to_yaml(
            head + "configs/evaluation/02_breakout.yaml explains every key.", plan.evaluation_choices
        ),
    }
    for path, text in texts.items():
        if path.exists() and _without_play(request, path.read_bytes()) != _without_play(request, text.encode()):
            raise UserError(f"{path}: was changed since this command wrote it; choose another --name or remove it")
    for path, text in texts.items():
        with replacing(path) as file:
            file.write(text.encode())


def _tell_result(request: Request, found: Survey, plan: Plan, machine: Machine) -> None:
    config = plan.configuration
    num_steps = config.training.max_steps
    seconds, memory = seconds_per_step(config, machine.device), training_memory(config, machine.device)
    videos = " + ".join(f"{number} {split}" for split, number in found.num_videos.items())
    print(f"data set    {request.data_root}: {videos} videos, {found.num_frames} frames, {told_size(found.num_bytes)}")
    print(f"written     {request.config}, {request.evaluation_config}")
    print(
        f"network     {plan.recipe.name}, {plan.actions_count.value} actions, {plan.batch_size.value} sequences a batch"
    )
    print(f"memory      about {told_size(memory)} of {told_size(machine.memory)} ({machine.name})")
    print(f"time        {num_steps} steps of {seconds:.2g} s, measured now: about {told_duration(num_steps * seconds)}")
    print(f"disk        {told_size(checkpoints_size(config))} more for checkpoints")
    print(as_run_here(f"to train    python train.py --config {request.config}"))
    print(as_run_here(f"to play     python play.py --config {request.config}"))
    print(as_run_here(f"to evaluate python build_evaluation_dataset.py --config {request.config}"))
    print(as_run_here(f"            python evaluate_dataset.py --config {request.evaluation_config}"))


def _argument(path: Path) -> str:
    """A path as the value of an option, which must not look like another option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def _quoted(word: str) -> str:
    """Quote a word for a shell, in one line of printable characters."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(f"\\x{byte:02x}" for byte in os.fsencode(word)) + "'"
