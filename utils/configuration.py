"""The configuration of a run: the YAML's nesting as typed sections, validated once (docs/method.md#configurations).

A configuration written for the authors' code loads unchanged. Keys that only this project has are optional and default
to the authors' behaviour. Everything wrong with a file is reported in one message that names file, key and remedy.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from utils.action_names import require_names_of_all
from utils.logging_configuration import Logging
from utils.model_configuration import Model
from utils.play_region import CELL, PlayRegion
from utils.sections import (
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Section,
    dump_yaml,
    load_sections,
    parse_sections,
)
from utils.shipped import CONFIGURATIONS, find_configuration

Cache = Literal["none", "memory", "disk"]

Crop = Annotated[list[NonNegativeInt], Field(min_length=4, max_length=4)]
"""A box [left, top, right, bottom] in pixels."""


class DataSource(Section):
    """A data set and the part of each frame that is used."""

    data_root: str
    crop: Crop
    dataset_splits: Annotated[list[Fraction], Field(min_length=3, max_length=3)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        left, top, right, bottom = self.crop
        if right <= left or bottom <= top:
            raise ValueError(f"crop is [left, top, right, bottom] in pixels, and {self.crop} encloses nothing")
        if self.dataset_splits is not None and abs(sum(self.dataset_splits) - 1) > 1e-6:
            raise ValueError(
                f"dataset_splits must sum to 1, and {self.dataset_splits} sum to {sum(self.dataset_splits)}"
            )
        return self


class Data(DataSource):
    """The data set, and what is known of it.

    `play_region`: the box of the stored frame, inside the crop, from which alone actions are inferred; None: all of it.
    The whole frame is generated all the same. `action_names`: what the actions are called, in the order of the keys;
    stored with checkpoints.

    Of a data set in shards each process keeps `local_shards` at a time in `shard_directory`, by default a folder in the
    user's cache. Half of them are shuffled together, so that their number decides the order too.
    """

    actions_count: Annotated[int, Field(ge=2)]
    action_names: list[str] | None = None
    play_region: Crop | None = None
    ground_truth_available: bool = False
    cache: Cache = "none"
    local_shards: Annotated[int, Field(ge=2)] = 8
    shard_directory: str | None = None

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        require_names_of_all(self.action_names, self.actions_count)
        return self


class Batching(Section):
    """How sequences are cut and grouped. The sequence length grows linearly from `observations_count_start`."""

    batch_size: PositiveInt
    observations_count: Annotated[int, Field(ge=2)]
    observations_count_start: Annotated[int, Field(ge=2)] | None = None
    observations_count_steps: PositiveInt = 1
    skip_frames: NonNegativeInt = 0
    observation_stacking: PositiveInt = 1
    num_workers: NonNegativeInt = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.observations_count_start or 0) > self.observations_count:
            raise ValueError(
                f"observations_count_start ({self.observations_count_start}) is more than "
                f"observations_count ({self.observations_count}), which it grows to"
            )
        return self


LevelWeights = Annotated[list[NonNegativeFloat], Field(min_length=5, max_length=5)]


class LossWeights(Section):
    """The weight of each term of the objective, and of its twin in the pretraining phase.

    A perceptual lambda that is one number multiplies `perceptual_level_weights`; a list gives the five levels' weights
    as they are. Five are ours: `cross_entropy_lambda`, for renderers that give log-probabilities; `painting_lambda`,
    for those that keep pixels; `action_directions_motion_lambda`, an unsupervised start for the action network that the
    published objective lacks (`training.losses.motion_alignment_loss`); `action_prior_lambda`, for actions that never
    occur in a state (`model.action_prior`); and `action_supervision_lambda`, for videos some of whose frames have
    labels. `action_divergence_lambda` is read but unused, as published.
    """

    reconstruction_loss_lambda: NonNegativeFloat = 1.0
    reconstruction_loss_lambda_pretraining: NonNegativeFloat = 1.0
    cross_entropy_lambda: NonNegativeFloat = 0.0
    cross_entropy_lambda_pretraining: NonNegativeFloat = 0.0
    perceptual_loss_lambda: NonNegativeFloat | LevelWeights = 1.0
    perceptual_loss_lambda_pretraining: NonNegativeFloat | LevelWeights = 1.0
    perceptual_level_weights: LevelWeights = Field(default=[1.0, 2.0, 2.0, 2.0, 2.0])
    states_rec_lambda: NonNegativeFloat = 0.2
    states_rec_lambda_pretraining: NonNegativeFloat = 0.2
    hidden_states_rec_lambda_pretraining: NonNegativeFloat = 1.0
    entropy_lambda: float = 0.0
    entropy_lambda_pretraining: float = 0.0
    action_directions_kl_lambda: NonNegativeFloat = 1e-4
    action_directions_kl_lambda_pretraining: NonNegativeFloat = 1e-4
    action_mutual_information_lambda: NonNegativeFloat = 0.15
    action_mutual_information_lambda_pretraining: NonNegativeFloat = 0.15
    action_state_distribution_kl_lambda: NonNegativeFloat = 0.0
    action_state_distribution_kl_lambda_pretraining: NonNegativeFloat = 0.0
    action_directions_motion_lambda: NonNegativeFloat = 0.0
    action_directions_motion_lambda_pretraining: NonNegativeFloat = 0.0
    action_supervision_lambda: NonNegativeFloat = 0.0
    action_supervision_lambda_pretraining: NonNegativeFloat = 0.0
    painting_lambda: NonNegativeFloat = 0.0
    painting_lambda_pretraining: NonNegativeFloat = 0.0
    action_prior_lambda: NonNegativeFloat = 0.0
    action_prior_lambda_pretraining: NonNegativeFloat = 0.0
    action_divergence_lambda: NonNegativeFloat = 0.0
    action_divergence_lambda_pretraining: NonNegativeFloat = 0.0

    def in_phase(self, pretraining: bool) -> dict[str, float]:
        """The weight of each term during one of the two phases, by its key without `_pretraining`; 0 for none.

        That of the perceptual loss is 1 where a level has a weight.
        """
        keys = {name.removesuffix("_pretraining") for name in type(self).model_fields if "_lambda" in name}
        suffix = "_pretraining" if pretraining else ""
        weights = {key: getattr(self, key + suffix, 0.0) for key in keys - {"action_divergence_lambda"}}
        return weights | {"perceptual_loss_lambda": float(any(self.perceptual_levels(pretraining)))}

    def perceptual_levels(self, pretraining: bool) -> list[float]:
        """The weights of the five levels of the perceptual loss during one of the two phases."""
        weight = self.perceptual_loss_lambda_pretraining if pretraining else self.perceptual_loss_lambda
        return weight if isinstance(weight, list) else [weight * level for level in self.perceptual_level_weights]

    @property
    def need_action_prior(self) -> bool:
        """Whether either phase has the model learn which actions occur in a state."""
        return bool(self.action_prior_lambda or self.action_prior_lambda_pretraining)

    @property
    def need_labels(self) -> bool:
        """Whether either phase uses the labels of frames."""
        return bool(self.action_supervision_lambda or self.action_supervision_lambda_pretraining)

    @property
    def need_perceptual_network(self) -> bool:
        """Whether either phase uses the perceptual loss."""
        return any(any(self.perceptual_levels(pretraining)) for pretraining in (False, True))


MotionWeightsSource = Literal[
    "truth_and_reconstruction", "truth", "foreground_of_truth_and_reconstruction", "foreground_of_truth"
]


class Training(Section):
    """The optimisation: schedules count optimiser updates.

    `precision`: `bf16` runs convolutions in bfloat16 (losses, batch-norm statistics, action space and centroids stay in
    float32), `tf32` lets CUDA round what is multiplied, as PyTorch's convolutions do by default, and `fp32` does not.
    `compile` compiles the networks; with `cuda_graphs` each is launched at once. `auto` of both is settled by
    `training.compilation`. `activation_checkpointing` takes less memory and more time, and learns the same.
    `sync_batchnorm` normalises by the images of all ranks.

    `pretraining_frames`: in pretraining the decoder paints what the encoder saw, as published, or what the dynamics
    predicts, always from true observations. `fed_back_noise` is the standard deviation of noise on generated frames, in
    [-1, 1], before these drive the next step of training. `motion_weights_reconstruction_share` multiplies what the
    weights see in the reconstruction. `action_directions_motion_source` is what the term of that name follows: the
    movement of things, in `data.play_region` if there is one, or that of the camera.
    """

    trainer: Literal["training.trainer", "training.smooth_mi_trainer"]
    seed: NonNegativeInt = 0
    use_ground_truth_actions: bool = False
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    compile: Literal["auto", True, False] = "auto"
    cuda_graphs: bool = False
    activation_checkpointing: bool = False
    sync_batchnorm: bool = False
    learning_rate: PositiveFloat = 4e-4
    weight_decay: NonNegativeFloat = 1e-6
    pretraining_steps: NonNegativeInt = 0
    pretraining_detach: bool = False
    pretraining_frames: Literal["encoded", "predicted"] = "encoded"
    fed_back_noise: NonNegativeFloat = 0.0
    lr_schedule: list[NonNegativeInt] = Field(default=[300_000])
    lr_gamma: PositiveFloat = 0.3333
    max_steps: PositiveInt = 300_000
    save_freq: PositiveInt = 3000
    max_steps_per_epoch: PositiveInt = 10_000
    ground_truth_observations_start: PositiveInt = 6
    ground_truth_observations_end: PositiveInt = 6
    ground_truth_observations_steps: PositiveInt = 1
    gumbel_temperature_start: PositiveFloat = 1.0
    gumbel_temperature_end: PositiveFloat = 0.4
    gumbel_temperature_steps: PositiveInt = 20_000
    mutual_information_estimation_alpha: Fraction = 0.2
    action_mutual_information_entropy_lambda: float = 1.0
    use_motion_weights: bool = False
    motion_weights_bias: NonNegativeFloat = 0.0
    motion_weights_source: MotionWeightsSource = "truth_and_reconstruction"
    motion_weights_reconstruction_share: Fraction = 1.0
    motion_weights_dilation: PositiveInt = 1
    motion_weights_limit: PositiveFloat | None = None
    action_directions_motion_source: Literal["things", "camera"] = "things"
    action_direction_plotting_freq: PositiveInt = 1000
    batching: Batching
    loss_weights: LossWeights = LossWeights()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.motion_weights_dilation % 2 == 0:
            raise ValueError(
                f"motion_weights_dilation is the side of a window and must be odd, not {self.motion_weights_dilation}"
            )
        if self.ground_truth_observations_end > self.ground_truth_observations_start:
            raise ValueError(
                "ground_truth_observations_end is more than ground_truth_observations_start, which it falls from"
            )
        if self.pretraining_steps and not any(self.loss_weights.in_phase(pretraining=True).values()):
            raise ValueError("all loss_weights of the pretraining are 0: raise one, or set pretraining_steps to 0")
        if self.max_steps > self.pretraining_steps and not any(self.loss_weights.in_phase(pretraining=False).values()):
            raise ValueError("all loss_weights after pretraining are 0: raise one")
        shortest = self.batching.observations_count_start or self.batching.observations_count
        if self.ground_truth_observations_end >= shortest:
            raise ValueError(
                f"ground_truth_observations_end ({self.ground_truth_observations_end}) leaves nothing to predict in "
                f"sequences of {shortest} observations: use at most {shortest - 1}"
            )
        return self


class Evaluation(Section):
    """Evaluation during training, on the validation split."""

    evaluator: Literal["evaluation.evaluator"] = "evaluation.evaluator"
    max_evaluation_batches: PositiveInt = 20
    eval_freq: PositiveInt = 8000
    ground_truth_observations: PositiveInt = 1
    batching: Batching

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.ground_truth_observations >= self.batching.observations_count:
            raise ValueError(
                f"ground_truth_observations ({self.ground_truth_observations}) leaves nothing to predict in sequences "
                f"of {self.batching.observations_count} observations"
            )
        return self


class EvaluationDataset(Section):
    """The data set of reconstructions that the metrics are computed on.

    `max_sequences`: so many, spread evenly over the test split; None for all, as published.
    """

    ground_truth_observations_init: PositiveInt = 4
    max_sequences: PositiveInt | None = None
    builder: Literal["evaluation.evaluation_dataset_builder"] = "evaluation.evaluation_dataset_builder"


class Configuration(Section):
    """A training configuration: what `configs/*.yaml` hold."""

    logging: Logging
    data: Data
    model: Model
    training: Training
    evaluation: Evaluation
    evaluation_dataset: EvaluationDataset = EvaluationDataset()

    @model_validator(mode="after")
    def _check(self) -> Self:
        stacking = self.training.batching.observation_stacking
        if self.evaluation.batching.observation_stacking != stacking:
            raise ValueError(
                f"evaluation.batching.observation_stacking must be {stacking}, as in training.batching: "
                "the network has one input size"
            )
        self._check_play_region()
        context = self.evaluation_dataset.ground_truth_observations_init
        if context >= self.evaluation.batching.observations_count:
            raise ValueError(
                f"evaluation_dataset.ground_truth_observations_init ({context}) leaves nothing to predict in sequences "
                f"of {self.evaluation.batching.observations_count} observations (evaluation.batching)"
            )
        return self

    def _check_play_region(self) -> None:
        box, crop, region = self.data.play_region, self.data.crop, self.play_region
        if box is None or region is None:
            return
        if not (crop[0] <= box[0] < box[2] <= crop[2] and crop[1] <= box[1] < box[3] <= crop[3]):
            raise ValueError(
                f"data.play_region is [left, top, right, bottom] in pixels of the stored frame, and {box} does not lie "
                f"inside data.crop {crop}"
            )
        if region.is_smaller_than_a_cell:
            raise ValueError(
                f"data.play_region {box} is too small: of the model's frame it takes {region.right - region.left:.3g}x"
                f"{region.bottom - region.top:.3g} pixels, and a cell of the state has {CELL}x{CELL}; enlarge it"
            )

    @property
    def play_region(self) -> PlayRegion | None:
        """`data.play_region` in pixels of the model's frame; None for all of it."""
        if self.data.play_region is None:
            return None
        size = self.model.representation_network.target_input_size
        return PlayRegion.scaled(self.data.play_region, self.data.crop, size)

    def to_yaml(self) -> str:
        """The configuration in force, every default written out; loads back to an equal configuration."""
        return dump_yaml(self.model_dump(mode="json"))


def load_configuration(path: str | Path, overrides: list[str] | None = None) -> Configuration:
    """Read, override and validate a training configuration: `load_sections` of a `Configuration`.

    Args:
        path: a YAML file, or the name of one that comes with the project, such as `02_breakout`.
        overrides: `section.key=value` texts.
    """
    return load_sections(Configuration, find_configuration(path, CONFIGURATIONS), overrides)


def parse_configuration(values: dict[str, Any], where: str, overrides: list[str] | None = None) -> Configuration:
    """Validate nested mappings, as a YAML file or a checkpoint holds them; `where` names their origin in errors.

    Raises:
        ConfigurationError: as `load_configuration`.
    """
    return parse_sections(Configuration, values, where, overrides)
