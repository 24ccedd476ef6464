"""Training recipes for networks of several sizes: the published ones, and the demo's for machines without CUDA."""

from dataclasses import dataclass

from preparation.choices import Choice, Choices

MANY_CORES = 8
"""Number of cores from which frames are larger than the demo's."""


@dataclass(frozen=True)
class Recipe:
    """A network, and the part of its training that does not depend on the footage."""

    name: str
    max_area: int
    """Maximum number of pixels of a frame."""
    batch_size: int
    """Sequences in a batch, if they fit into memory."""
    observations_count: int
    """Observations in the longest sequences of training."""
    evaluated_observations: int
    """Observations in the sequences of an evaluation."""
    true_observations: int
    """True observations that drive the dynamics before generated ones do, at the end of training."""
    settings: Choices
    """Other values of the configuration."""
    lays_out_actions: bool = False
    """Whether actions begin in places of the action space, and not at random."""


def small_recipe(num_cores: int) -> Recipe:
    """Return the demo's recipe, which finds actions within minutes on two cores; more cores get larger frames."""
    return Recipe(
        name="a small network",
        max_area=80 * 96 if num_cores < MANY_CORES else 96 * 128,
        batch_size=6,
        observations_count=7,
        evaluated_observations=16,
        true_observations=2,
        lays_out_actions=True,
        settings={
            "model.architecture": Choice(
                "model.seeing_model.model", "not the paper's: sharp within minutes, since it sees what it continues"
            ),
            "model.width_multiplier": Choice(0.5, "half the channels in encoder and decoder"),
            "model.batch_norm_momentum": Choice(0.02, "what play normalises by is not the last two steps' alone"),
            "model.representation_network.state_features": Choice(32, "half of those published, as below"),
            "model.dynamics_network.hidden_state_size": Choice(32),
            "model.dynamics_network.first_steps_statistics": Choice(
                3, "the first generated frames are then as good as the later ones"
            ),
            "model.action_network.action_space_dimension": Choice(2, "sideways, and up and down"),
            "model.action_network.use_variations": Choice(False, "an action says all there is to say"),
            "model.action_network.initial_direction_variance": Choice(
                0.005, "little noise, so that a movement shows before its direction is learned well"
            ),
            "model.action_network.fixed_variance": Choice(True, "and no more later, which would make actions random"),
            "training.trainer": Choice("training.smooth_mi_trainer", "remembers actions beyond the small batch"),
            "training.learning_rate": Choice(0.001, "a short training needs long steps ..."),
            "training.lr_schedule": Choice(list(range(1200, 3000, 150)), "... and ever shorter ones later"),
            "training.lr_gamma": Choice(0.8),
            "training.pretraining_steps": Choice(0, "this decoder needs no start of its own"),
            "training.pretraining_frames": Choice("predicted", "if it were given one, it had to see no newer frame"),
            "training.max_steps": Choice(3000, "more than the demo's, since the footage is unknown; raise it to go on"),
            "training.save_freq": Choice(500),
            "training.gumbel_temperature_steps": Choice(1500, "actions are told apart clearly after half the training"),
            "training.use_motion_weights": Choice(True, "what moves may be few pixels of many"),
            "training.motion_weights_source": Choice(
                "foreground_of_truth_and_reconstruction", "what differs from what stands still"
            ),
            "training.motion_weights_reconstruction_share": Choice(0.5, "a wrong pixel costs less than a missing one"),
            "training.motion_weights_bias": Choice(0.03, "what stands still counts little, but counts"),
            "training.motion_weights_limit": Choice(1.0, "dim things count as much as bright ones"),
            "training.batching.observation_stacking": Choice(2, "movement is seen in two frames"),
            "training.loss_weights.reconstruction_loss_lambda": Choice(0, "mean differences overlook small things"),
            "training.loss_weights.cross_entropy_lambda": Choice(1.0, "in their place"),
            "training.loss_weights.action_directions_motion_lambda": Choice(0.1, "directions follow movement"),
            "training.loss_weights.action_prior_lambda": Choice(
                1.0, "and are tried where they never occur, as at walls"
            ),
            "training.loss_weights.action_mutual_information_lambda": Choice(0.08, "as in the demo"),
            "evaluation.max_evaluation_batches": Choice(5, "a glance, since each takes as long as some steps"),
            "evaluation.eval_freq": Choice(500),
            "evaluation.batching.observation_stacking": Choice(2, "as in training"),
            "evaluation_dataset.max_sequences": Choice(200, "spread evenly over the test split; null takes all"),
        },
    )


def _published_settings(architecture: str, hidden_state_size: int, observations_count_steps: int) -> Choices:
    return {
        "model.architecture": Choice(architecture, "the largest published network that fits into memory"),
        "model.dynamics_network.hidden_state_size": Choice(hidden_state_size),
        "model.action_network.action_space_dimension": Choice(2, "as for the robot of the paper: sideways and ahead"),
        "training.trainer": Choice("training.smooth_mi_trainer", "remembers actions beyond the batch"),
        "training.learning_rate": Choice(0.0004, "as published, like all that says nothing else"),
        "training.lr_schedule": Choice([300_000]),
        "training.pretraining_steps": Choice(3000),
        "training.max_steps": Choice(300_000, "look at results/ long before: actions appear first, details later"),
        "training.save_freq": Choice(3000),
        "training.gumbel_temperature_steps": Choice(20_000),
        "training.batching.observations_count_steps": Choice(observations_count_steps),
        "training.loss_weights.action_mutual_information_lambda": Choice(0.15),
        "training.loss_weights.action_mutual_information_lambda_pretraining": Choice(0.15),
        "evaluation.max_evaluation_batches": Choice(20),
        "evaluation.eval_freq": Choice(8000),
        "evaluation_dataset.max_sequences": Choice(1000, "spread evenly over the test split; null takes all"),
    }


MAIN_RECIPE = Recipe(
    name="the main network of the paper",
    max_area=256 * 256,
    batch_size=8,
    observations_count=12,
    evaluated_observations=30,
    true_observations=6,
    settings=_published_settings("model.main_model.model", 128, 25_000),
)
REDUCED_RECIPE = Recipe(
    name="the reduced network of the paper",
    max_area=160 * 208,
    batch_size=8,
    observations_count=9,
    evaluated_observations=30,
    true_observations=6,
    settings=_published_settings("model.reduced_model.model", 64, 15_000),
)
