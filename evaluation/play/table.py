"""The figures of play as text."""

from collections.abc import Iterator

from evaluation.play.estimates import Estimate
from evaluation.play.figures import TITLES, ActionFigures, Movement, PlayFigures

MISSING = "-"

SHOWN_FRAMES = (1, 10, 50, 100, 200, 500, 1000)
"""The frames around which the table shows the figures that change with time."""

OVER_TIME = {
    "following": "following",
    "following_random_presses": "random presses",
    "stillness": "stillness",
    "sharpness": "sharpness",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "frechet_distance": "Fréchet",
}
"""The figures that are shown over time, with their headings."""


def table(play: PlayFigures) -> str:
    """Return the figures: of all frames, of each action, and by frame number."""
    lines = [
        f"{play.games} games of {play.frames} frames with random presses and {play.games} with true play's actions, "
        f"{play.true_sequences} true sequences of {play.true_frames}",
        "",
        f"{'':32} {'generated':>28} {'true play':>28}",
        *(
            f"{title.text:32} {format_estimate(play.figures[name].generated):>28} "
            f"{format_estimate(play.figures[name].true):>28}"
            for name, title in TITLES.items()
        ),
        f"(by chance, following would be {play.chance:.3f})",
        "",
        *_action_lines(play.actions),
        "",
        *_lines_over_time(play),
        *(f"note: {remark}" for remark in play.remarks),
    ]
    return "\n".join(line.rstrip() for line in lines)


def format_estimate(estimate: Estimate | None) -> str:
    """Format a value with its interval: `0.912 [0.900, 0.925]`; a dash if it is unknown."""
    if estimate is None or estimate.value is None:
        return MISSING
    if estimate.interval is None:
        return f"{estimate.value:.3f}"
    low, high = estimate.interval
    return f"{estimate.value:.3f} [{low:.3f}, {high:.3f}]"


def format_movement(movement: Movement) -> str:
    """Format mean movements with their standard deviations: `+7.9 ± 0.8, -0.1 ± 0.3`; a dash if they are unknown."""
    if movement.spread is None:
        return MISSING
    parts = zip((movement.x.value, movement.y.value), movement.spread, strict=True)
    return ", ".join(f"{mean:+.1f} ± {deviation:.1f}" for mean, deviation in parts)


def _action_lines(actions: list[ActionFigures]) -> Iterator[str]:
    """Yield a line per action."""
    yield f"{'key':3} {'inferred':>9} {'followed':>22} {'moves by x, y':>26} {'in true play':>26}"
    for action in actions:
        yield (
            f"{action.key:3} {action.inferred:9.1%} {format_estimate(action.followed):>22} "
            f"{format_movement(action.movement):>26} {format_movement(action.true_movement):>26}"
        )


def _lines_over_time(play: PlayFigures) -> Iterator[str]:
    """Yield a line per shown frame with the means of the window around it; unknown after the truth ends."""
    yield " ".join([f"{'frame':>6}", *(f"{heading:>14}" for heading in OVER_TIME.values())])
    for frame in SHOWN_FRAMES:
        if frame <= play.frames:
            cells = (_cell(play, name, frame) for name in OVER_TIME)
            yield " ".join([f"{frame:6}", *(f"{cell:>14}" for cell in cells)])


def _cell(play: PlayFigures, name: str, frame: int) -> str:
    timeline = play.figures[name].timeline
    if timeline is None or (name in ("psnr", "ssim") and frame > play.true_frames):
        return MISSING
    estimate = timeline.at(frame)
    return MISSING if estimate is None or estimate.value is None else f"{estimate.value:.3f}"
