"""The model card: what a model is, how to play it, and how well it does, as the README.md that the Hub shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharing.figures import Figures
from utils.configuration import Configuration
from utils.measurement import slug
from utils.sections import dump_yaml
from utils.shared_model import ANIMATION, CONFIGURATION, WEIGHTS

LIBRARY = "playable-video"
TASK = "image-to-video"
TAGS = ("playable-video-generation", "world-model", "video-generation")


@dataclass(frozen=True)
class CardFacts:
    """What the card says."""

    config: Configuration
    checkpoint: str
    """How `--checkpoint` names it: `hub:owner/name`, or a folder."""
    action_names: tuple[str, ...] | None
    num_parameters: int
    is_half: bool
    """Whether the weights are in half precision."""
    is_rounded: bool
    """Whether they were not before they were shared."""
    step: int | None
    """Number of training steps; None if unknown."""
    has_animation: bool
    license: str | None
    figures: list[Figures]

    @property
    def data_set(self) -> str:
        """The name of the folder of the data; the folders above it are the user's own."""
        return Path(self.config.data.data_root).name or "unknown"


def model_card(facts: CardFacts) -> str:
    """Return the text of the README.md, in Markdown below the YAML that the Hub reads."""
    return f"---\n{dump_yaml(_front_matter(facts), allow_unicode=True)}---\n\n" + "\n".join(_body(facts))


def _front_matter(facts: CardFacts) -> dict[str, Any]:
    values: dict[str, Any] = {"license": facts.license} if facts.license else {}
    values |= {"library_name": LIBRARY, "pipeline_tag": TASK, "tags": list(TAGS)}
    if facts.figures:
        results = [
            {
                "task": {"type": TASK, "name": measured.task},
                "dataset": {"type": slug(facts.data_set) or "unknown", "name": facts.data_set},
                "metrics": [
                    {"type": figure.metric, "name": figure.title, "value": figure.value} for figure in measured.figures
                ],
            }
            for measured in facts.figures
        ]
        values["model-index"] = [{"name": facts.config.logging.run_name, "results": results}]
    return values


def _body(facts: CardFacts) -> Iterator[str]:
    yield f"# {facts.config.logging.run_name}\n"
    if facts.has_animation:
        yield f"![Games that the model generates from random presses]({ANIMATION})\n"
    yield (
        "A video model that one plays with the number keys: a frame and an action in, the next frame out. It learned "
        "its actions from videos without labels ([Playable Video Generation](https://arxiv.org/abs/2101.12195)).\n"
    )
    yield from _table(["", ""], _properties(facts))
    yield (
        f'## Play\n\n```bash\npip install "{LIBRARY}[hub]"\n{LIBRARY} play --checkpoint {facts.checkpoint}\n```\n\n'
        "or, from Python,\n\n"
        f'```python\nfrom playable_video import load\n\nworld = load("{facts.checkpoint}")\n'
        "frame = world.start()  # uint8 (H, W, 3)\nframe = world.step(0)  # what follows from the first action\n```\n\n"
        f"`{WEIGHTS}` holds the weights, and `{CONFIGURATION}` the configuration, with which it can be trained again.\n"
    )
    if facts.figures:
        rounded = " They were measured before the weights were rounded to half precision." if facts.is_rounded else ""
        yield f"## Figures\n\nOf held-out videos. In brackets are 95% intervals.{rounded}\n"
    for measured in facts.figures:
        rows = [[figure.title, str(figure), figure.better] for figure in measured.figures]
        yield from _table([f"when {measured.task}", "value", "better"], rows)
    yield f"## Licence\n\n{facts.license or 'None is named: ask the owner before using it.'}"
    yield ""


def _properties(facts: CardFacts) -> list[list[str]]:
    width, height = facts.config.model.representation_network.target_input_size
    count = facts.config.data.actions_count
    names = ", ".join(f"{key} {name}" for key, name in enumerate(facts.action_names or (), start=1))
    precision = "half precision" if facts.is_half else "single precision"
    steps = [] if facts.step is None else [["training", f"{facts.step} steps"]]
    return [
        ["frames", f"{width} x {height} pixels"],
        ["actions", f"{count}: {names}" if names else f"{count}, unnamed"],
        ["parameters", f"{facts.num_parameters / 1e6:.1f} M, in {precision}"],
        ["data", facts.data_set],
        *steps,
    ]


def _table(heading: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Yield the lines of a table in Markdown, and an empty one."""
    for cells in (heading, ["---"] * len(heading), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""
