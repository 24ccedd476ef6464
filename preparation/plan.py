"""The plan of a run: all choices, and the two configurations that they make."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from model.perceptual import VGG19
from preparation.action_layout import action_layout
from preparation.choices import Choice, Choices, chosen_values
from preparation.costs import training_memory
from preparation.duration import within
from preparation.footage import Footage, choose_size
from preparation.labelled_actions import LabelledActions
from preparation.machine import Machine
from preparation.played_part import WHOLE_FRAME, PlayedPart
from preparation.recipes import MAIN_RECIPE, REDUCED_RECIPE, Recipe, small_recipe
from preparation.survey import (
    DEFAULT_ACTIONS,
    PUBLISHED_OBSERVATIONS,
    Survey,
    choose_actions_count,
    choose_skip_frames,
)
from training.run import SMALLEST_PERCEPTUAL_SIDE
from utils.command import UserError
from utils.configuration import Configuration, parse_configuration

USABLE_MEMORY = 0.8
"""Share of a device's memory that training may use."""

CONTEXT_OBSERVATIONS = 4
"""True observations that an evaluation begins with (docs/method.md#evaluation-data-set)."""

GROUND_TRUTH_OBSERVATIONS = 6
"""True observations that drive the dynamics in training, as published (docs/method.md#schedules)."""

MAX_WORKERS = 8


@dataclass(frozen=True)
class Plan:
    """The choices for a run.

    Fields with defaults are chosen after the conversion of the data set.
    """

    name: str
    data_root: Path
    recipe: Recipe
    size: Choice
    """[width, height] of frames, in pixels."""
    perceptual_weight: Choice
    batch_size: Choice
    num_workers: Choice
    recomputes: Choice = field(default_factory=lambda: Choice(False, "all that a step keeps fits into memory"))
    actions_count: Choice = DEFAULT_ACTIONS
    knows_actions: Choice = field(default_factory=lambda: Choice(False))
    skip_frames: Choice = field(default_factory=lambda: Choice(0))
    fitting_observations: int = MAIN_RECIPE.evaluated_observations
    """Number of observations for which most videos are long enough."""
    part: PlayedPart = WHOLE_FRAME
    labels: LabelledActions | None = None

    def after(self, survey: Survey, wanted_actions: int | None) -> "Plan":
        """Return the plan with the choices made from the converted data set.

        Args:
            survey: the data set.
            wanted_actions: number of actions that the user wants; None chooses it.
        """
        skip_frames = choose_skip_frames(survey.moving_shares)
        actions_count = choose_actions_count(survey, wanted_actions)
        knows_actions = survey.true_actions is not None and survey.true_actions <= set(range(actions_count.value))
        reason = "true actions came with the footage, to evaluate with" if knows_actions else "no labels are needed"
        return replace(
            self,
            actions_count=actions_count,
            knows_actions=Choice(knows_actions, reason),
            skip_frames=skip_frames,
            fitting_observations=survey.fitting_observations(skip_frames.value),
        )

    def within(self, minutes: float, num_steps: int) -> "Plan":
        """Return the plan with a training of so many steps, as many as fit into some minutes."""
        why = f"as many as fitted into {minutes:g} minutes on this machine, with schedules in proportion"
        return replace(self, recipe=replace(self.recipe, settings=within(self.recipe.settings, num_steps, why)))

    @property
    def configuration(self) -> Configuration:
        """The configuration made from `training_choices`."""
        return parse_configuration(chosen_values(self.training_choices), self.name)

    @property
    def training_choices(self) -> Choices:
        """The contents of `configs/<name>.yaml`."""
        width, height = self.size.value
        longest = self._observations(self.recipe.observations_count)
        shortest = self._observations(PUBLISHED_OBSERVATIONS)
        evaluated = self._observations(self.recipe.evaluated_observations)
        true_observations = min(GROUND_TRUTH_OBSERVATIONS, shortest.value - 1)
        context = min(CONTEXT_OBSERVATIONS, evaluated.value - 1)
        return {
            "logging.run_name": Choice(self.name),
            "logging.trackers": Choice([], "[wandb] or [tensorboard] to watch the run there too"),
            "data.data_root": Choice(str(self.data_root)),
            "data.crop": Choice([0, 0, width, height], "all of a frame, as it was converted"),
            "data.actions_count": self.actions_count,
            **self._names(),
            "data.play_region": self.part.region,
            "data.ground_truth_available": self.knows_actions,
            **self.recipe.settings,
            **self._layout(),
            "training.action_directions_motion_source": self.part.source,
            "model.representation_network.target_input_size": self.size,
            "model.representation_network.state_resolution": Choice(
                [height // 8, width // 8], "[h, w]: an eighth of it"
            ),
            "training.activation_checkpointing": self.recomputes,
            "training.ground_truth_observations_start": Choice(true_observations, "generated ones drive only the end"),
            "training.ground_truth_observations_end": Choice(min(true_observations, self.recipe.true_observations)),
            "training.ground_truth_observations_steps": Choice(
                self.recipe.settings["training.max_steps"].value // 3, "steps until it sees as many generated ones"
            ),
            "training.batching.batch_size": self.batch_size,
            "training.batching.observations_count": longest,
            "training.batching.observations_count_start": Choice(shortest.value, "it grows from"),
            "training.batching.skip_frames": self.skip_frames,
            "training.batching.num_workers": self.num_workers,
            **self._camera_weights(),
            **self._label_weights(),
            "training.loss_weights.perceptual_loss_lambda": self.perceptual_weight,
            "training.loss_weights.perceptual_loss_lambda_pretraining": Choice(self.perceptual_weight.value),
            "evaluation.ground_truth_observations": Choice(context, "as the evaluation data set, below"),
            "evaluation.batching.batch_size": Choice(2 * self.batch_size.value, "without gradients, twice as many fit"),
            "evaluation.batching.observations_count": evaluated,
            "evaluation.batching.skip_frames": Choice(self.skip_frames.value, "as in training"),
            "evaluation.batching.num_workers": Choice(self.num_workers.value),
            "evaluation_dataset.ground_truth_observations_init": Choice(
                context, "true ones that a sequence begins with"
            ),
        }

    @property
    def evaluation_choices(self) -> Choices:
        """The contents of `configs/evaluation/<name>.yaml`."""
        width, height = self.size.value
        crop = Choice([0, 0, width, height])
        return {
            "logging.run_name": Choice(self.name),
            "data.target_input_size": Choice([width, height], "as stored"),
            "data.actions_count": Choice(self.actions_count.value, "as in training"),
            **self._names(),
            "data.ground_truth_available": self.knows_actions,
            "reference_data.data_root": Choice(str(self.data_root), "its split test"),
            "reference_data.crop": crop,
            "generated_data.data_root": Choice(
                str(self.configuration.logging.output_directory / "evaluation_dataset"),
                "what build_evaluation_dataset.py writes",
            ),
            "generated_data.crop": crop,
            "evaluation.movement": Choice("generic", "follows whatever moves"),
            "evaluation.batching.batch_size": Choice(2 * self.batch_size.value),
            "evaluation.batching.observations_count": Choice(
                self.configuration.evaluation.batching.observations_count, "as generated"
            ),
            "evaluation.batching.skip_frames": Choice(self.skip_frames.value, "as generated"),
        }

    def _layout(self) -> Choices:
        """Choose where the actions begin, if the recipe lays them out."""
        return action_layout(self.part.axis, self.actions_count.value) if self.recipe.lays_out_actions else {}

    def _camera_weights(self) -> Choices:
        """Choose the weights of the term by which actions follow the camera, if they do and the recipe has none."""
        key = "training.loss_weights.action_directions_motion_lambda"
        if self.part.source.value != "camera" or key in self.recipe.settings:
            return {}
        return {key: Choice(0.1, "directions follow the camera"), f"{key}_pretraining": Choice(0.1)}

    def _names(self) -> Choices:
        """Choose the names of the actions, if the labels have names."""
        if not (self.labels and self.labels.action_names):
            return {}
        return {"data.action_names": Choice(self.labels.action_names, "as the labels call them")}

    def _label_weights(self) -> Choices:
        """Choose the weights of the term by which actions agree with the labels, if there are any."""
        if not self.labels:
            return {}
        key = "training.loss_weights.action_supervision_lambda"
        return {key: Choice(1.0, "labelled steps name the actions"), f"{key}_pretraining": Choice(1.0)}

    def _observations(self, wanted: int) -> Choice:
        """Choose the number of observations in a sequence: as many as wanted, or as fit into the videos."""
        if self.fitting_observations < wanted:
            return Choice(self.fitting_observations, f"{wanted} are usual, but most videos have room for no more")
        return Choice(wanted, f"as usual for this network; most videos have room for {self.fitting_observations}")


def draft_plan(name: str, data_root: Path, footage: Footage, machine: Machine) -> Plan:
    """Make the choices needed before the conversion: the network that fits the machine, and the frame size."""
    has_gpu = machine.device.type == "cuda"
    for recipe in (MAIN_RECIPE, REDUCED_RECIPE) if has_gpu else (small_recipe(machine.num_cores),):
        plan = _draft(name, data_root, footage, machine, recipe)
        if _fits(plan, machine):
            return plan
        plan = replace(plan, recomputes=Choice(True, f"slower; otherwise {machine.name} has too little memory"))
        if _fits(plan, machine):
            return plan
    return _with_smaller_batch(plan, machine)


def _draft(name: str, data_root: Path, footage: Footage, machine: Machine, recipe: Recipe) -> Plan:
    size = choose_size(footage, recipe.max_area)
    if machine.device.type == "cuda":
        perceptual_weight = _perceptual_weight(size)
        num_workers = Choice(
            min(MAX_WORKERS, machine.num_cores), "processes that read data, so that the GPU never waits"
        )
    else:
        perceptual_weight = Choice(0, "VGG19 would take most of the time without a CUDA device")
        num_workers = Choice(0, "small frames are read in no time")
    return Plan(
        name=name,
        data_root=data_root,
        recipe=recipe,
        size=size,
        perceptual_weight=perceptual_weight,
        batch_size=Choice(recipe.batch_size, f"as usual for this network; fits into the memory of {machine.name}"),
        num_workers=num_workers,
    )


def _perceptual_weight(size: Choice) -> Choice:
    """Choose the published weight if the perceptual loss is possible, else 0."""
    if min(size.value) < SMALLEST_PERCEPTUAL_SIDE:
        return Choice(0, f"VGG19 needs sides of at least {SMALLEST_PERCEPTUAL_SIDE} pixels")
    try:
        VGG19.fetch("the perceptual loss")
    except UserError:
        return Choice(0, f"1.0 is better, but the VGG19 weights could not be fetched: put {VGG19.url} at {VGG19.path}")
    return Choice(1.0, "as published; the VGG19 weights are here")


def _fits(plan: Plan, machine: Machine) -> bool:
    return training_memory(plan.configuration, machine.device) <= USABLE_MEMORY * machine.memory


def _with_smaller_batch(plan: Plan, machine: Machine) -> Plan:
    """Return the plan with its batch halved until it fits into memory or has a single sequence."""
    while plan.batch_size.value > 1 and not _fits(plan, machine):
        batch_size = Choice(plan.batch_size.value // 2, f"as many as fit into the memory of {machine.name}")
        plan = replace(plan, batch_size=batch_size)
    return plan
