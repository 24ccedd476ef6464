"""The section `model` of a configuration (docs/method.md#configurations)."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from utils.sections import Fraction, NonNegativeInt, PositiveFloat, PositiveInt, Section

Side = Annotated[int, Field(ge=16, multiple_of=16)]

ARCHITECTURES = ("model.main_model.model", "model.reduced_model.model", "model.seeing_model.model")
"""The values of `model.architecture`: the names in the table of `model.build`, which takes seconds to import."""


class RepresentationNetworkConfiguration(Section):
    """The encoder E: frame size [w, h] in pixels, features and resolution [h, w] of the state."""

    target_input_size: Annotated[list[Side], Field(min_length=2, max_length=2)]
    state_features: PositiveInt = 64
    state_resolution: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        width, height = self.target_input_size
        if self.state_resolution != [height // 8, width // 8]:
            raise ValueError(
                f"state_resolution is [h, w], an eighth of the frame: set it to [{height // 8}, {width // 8}] "
                f"for target_input_size {self.target_input_size}"
            )
        return self


class DynamicsNetworkConfiguration(Section):
    """The recurrent network R. `embedding_mlp_size` and `random_noise_size` are read but unused, as published.

    `first_steps_statistics` is how many first steps have batch-normalisation statistics of their own in evaluation
    mode; published: none.
    """

    hidden_state_size: PositiveInt
    embedding_mlp_size: NonNegativeInt = 64
    random_noise_size: NonNegativeInt = 32
    first_steps_statistics: NonNegativeInt = 0


class RenderingNetworkConfiguration(Section):
    """The decoder D. Its input shape follows from the dynamics network; the key is read for compatibility.

    `reach`: pixels that things move in a step at most, along either axis, as the seeing model looks for them.
    """

    input_shape: list[PositiveInt] | None = None
    reach: PositiveInt = 5


class ActionNetworkConfiguration(Section):
    """The action network A.

    `initial_direction_variance` starts the variance head at this constant for each of two observations' states, and
    with `fixed_variance` it stays there; `initial_classifier_spread` starts the classifier with the actions laid out in
    the action space: with the `initial_classifier_layout` `line` side by side along its first axis or, where things
    move another way, along one that is turned from it to the second by `initial_classifier_angle` degrees, 90 for up
    and down; with `ring` one in the middle and the others around it, for what moves all ways. Variance and spread
    default to the authors' random initialisation. With `fixed_classifier` it stays there: what an action means cannot
    drift, and directions have to come to it.
    """

    use_gumbel: bool = True
    hard_gumbel: bool = False
    ensamble_size: PositiveInt = 1
    gumbel_temperature: PositiveFloat = 1.0
    action_space_dimension: PositiveInt
    use_variations: bool = True
    initial_direction_variance: PositiveFloat | None = None
    fixed_variance: bool = False
    initial_classifier_spread: PositiveFloat | None = None
    initial_classifier_angle: float = 0.0
    initial_classifier_layout: Literal["line", "ring"] = "line"
    fixed_classifier: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.fixed_variance and self.initial_direction_variance is None:
            raise ValueError("fixed_variance keeps initial_direction_variance, which is not set: set it to 0.005")
        if self.fixed_classifier and self.initial_classifier_spread is None:
            raise ValueError("fixed_classifier keeps initial_classifier_spread, which is not set: set it to 2.0")
        lays_out_a_plane = self.action_space_dimension >= 2 and self.initial_classifier_spread
        if self.initial_classifier_angle and not lays_out_a_plane:
            raise ValueError(
                "initial_classifier_angle turns what initial_classifier_spread lays out, in 2 dimensions at least: set "
                "it to 0, or initial_classifier_spread to 2.0 and action_space_dimension to 2"
            )
        if self.initial_classifier_layout == "ring" and not lays_out_a_plane:
            raise ValueError(
                "initial_classifier_layout: ring is how initial_classifier_spread lays out 2 dimensions at least: set "
                "it to line, or initial_classifier_spread to 2.0 and action_space_dimension to 2"
            )
        return self


class CentroidEstimatorConfiguration(Section):
    """The moving average of the action centroids: `alpha` is the share of the newest batch."""

    alpha: Fraction = 0.1


class Model(Section):
    """The networks. `width_multiplier` scales the channel counts inside the encoder and the decoder.

    `batch_norm_momentum` is the share of the newest pass in the running statistics that play normalises by. Generated
    frames pass one step at a time, so that with the published 0.1 the last two steps of training decide.
    """

    architecture: str
    width_multiplier: PositiveFloat = 1.0
    batch_norm_momentum: Fraction = 0.1
    representation_network: RepresentationNetworkConfiguration
    dynamics_network: DynamicsNetworkConfiguration
    rendering_network: RenderingNetworkConfiguration = RenderingNetworkConfiguration()
    action_network: ActionNetworkConfiguration
    centroid_estimator: CentroidEstimatorConfiguration = CentroidEstimatorConfiguration()

    @field_validator("architecture")
    @classmethod
    def _check(cls, name: str) -> str:
        if name not in ARCHITECTURES:
            raise ValueError(f"must be {' or '.join(map(repr, ARCHITECTURES))}")
        return name
