"""A model of another architecture is trained, evaluated and played, and no file but its own knows of it."""

import ast
import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dataset.video import Video
from evaluation.dataset_builder import build_evaluation_dataset
from model.action import Gaussian, InferredActions
from model.build import BUILDERS, build_model
from model.noise import Noise
from model.plain import plain_model
from model.playable import ActionSampler, ImaginedStep, PlayableModel, Rollout
from model.rendering import Frames
from playing.simulator import load_simulator, play_games
from tests.configurations import MODELS, small_configuration
from tests.synthetic import SIDE, square_configuration, write_square_videos
from training import run
from utils.command import UserError
from utils.configuration import Configuration
from utils.model_configuration import ARCHITECTURES, Model
from utils.sections import Section
from web.exporters import find_exporter

TOY = "a toy"
REPOSITORY = Path(__file__).parent.parent
FOLDERS = ("benchmarks", "dataset", "evaluation", "playing", "preparation", "sharing", "training", "utils")


class ToyModel(PlayableModel):
    """Frames fade by a share that the action decides. The state is how many steps were taken."""

    def __init__(self, config: Configuration) -> None:
        super().__init__()
        self.stack_shape = (config.training.batching.observation_stacking, SIDE, SIDE, 3)
        self.fading = nn.Linear(config.data.actions_count, 1)
        self.direction = nn.Linear(3, config.model.action_network.action_space_dimension)
        self.classifier = nn.Linear(config.model.action_network.action_space_dimension, config.data.actions_count)

    @property
    def centroids(self) -> Tensor:
        return self.classifier.weight.detach()

    def forward(
        self,
        observations: Tensor,
        ground_truth_observations: int,
        temperature: float = 1.0,
        pretraining: bool = False,
        action_sampler: ActionSampler | None = None,
        zero_variations: bool = False,
        noise: Noise | None = None,
    ) -> Rollout:
        noise = noise or Noise()
        inferred = self.infer_actions(observations, noise)
        actions = action_sampler(inferred) if action_sampler else torch.softmax(inferred.logits / temperature, dim=-1)
        state, frames = self.initial_state(len(observations)), list[Tensor]()
        observation = observations[:, 0]
        variations = inferred.sampled_directions * (not zero_variations)
        for t in range(observations.shape[1] - 1):
            if pretraining or t < ground_truth_observations:
                observation = observations[:, t]
            imagined = self.step(state, observation, actions[:, t], variations[:, t])
            state, observation = imagined.state, imagined.observation
            frames.append(imagined.frame)
        full = torch.stack(frames, dim=1)
        reconstructed = torch.cat([observations[:, :1, :3], full], dim=1)
        states, attention = observations[:, :, :3], torch.ones_like(observations[:, :, :1])
        return Rollout(
            states=states,
            attention=attention,
            inferred_actions=inferred,
            actions=actions,
            variations=variations,
            hidden_states=states[:, 1:],
            frames=Frames(full),
            reconstructed_states=reconstructed,
            reconstructed_attention=attention,
            reconstructed_actions=self.infer_actions(reconstructed, noise),
            encoded_hidden_states=None,
        )

    def infer_actions(self, observations: Tensor, noise: Noise) -> InferredActions:
        means = self.direction(observations[:, :, :3].mean(dim=(3, 4)))
        action_states = Gaussian(means, torch.full_like(means, 0.1))
        directions = Gaussian(means.diff(dim=1), torch.full_like(means[:, 1:], 0.2))
        sampled = directions.sample(noise)
        return InferredActions(
            action_states, action_states.sample(noise), directions, sampled, self.classifier(sampled)
        )

    def initial_state(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, dtype=torch.int64)

    def prepare(self) -> None:
        return None

    def step(
        self,
        state: Tensor,
        observation: Tensor,
        action: Tensor,
        variation: Tensor,  # noqa: ARG002
        prepared: None = None,  # noqa: ARG002
    ) -> ImaginedStep:
        frame = observation[:, :3] * torch.sigmoid(self.fading(action))[:, :, None, None]
        return ImaginedStep(frame, torch.cat([frame, observation[:, :-3]], dim=1), state + 1)

    def compilable_networks(self) -> list[nn.Module]:
        return [self.fading]


@pytest.fixture
def config(square: Path, monkeypatch: pytest.MonkeyPatch) -> Configuration:
    monkeypatch.setitem(BUILDERS, TOY, ToyModel)
    monkeypatch.setattr("utils.model_configuration.ARCHITECTURES", (*ARCHITECTURES, TOY))
    return square_configuration(square, f"model.architecture={TOY}")


def test_it_is_trained_evaluated_and_played(config: Configuration) -> None:
    torch.manual_seed(config.training.seed)
    start = build_model(config).state_dict()
    assert run.train(config, "cpu") == 0

    output = config.logging.output_directory
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "eval/reconstruction" in line] == [6, 12]
    pictures = "".join(path.name for path in (output / "images").iterdir())
    assert "reconstruction_full" in pictures
    assert "reconstruction_half" not in pictures

    simulator, checkpoint = load_simulator(config, torch.device("cpu"))
    assert any(not torch.equal(weight, start[name]) for name, weight in checkpoint["model"].items())
    stacks = np.full((2, *simulator.stack_shape), 255, np.uint8)
    frames = play_games(simulator, stacks, np.array([[0, 1], [2, 2]]))
    assert frames.shape == (2, 3, SIDE, SIDE, 3)
    shares = torch.sigmoid(simulator.model.get_submodule("fading")(functional.one_hot(torch.tensor([0, 2]), 3).float()))
    assert np.allclose(frames[:, 1, 0, 0, 0], 127.5 * (1 + shares[:, 0].numpy()), atol=1)

    write_square_videos(Path(config.data.data_root), {"test": 1})
    build_evaluation_dataset(config, "cpu")
    video = Video(output / "evaluation_dataset/test/00000")
    assert video.num_frames == 4
    assert len(video.annotations.metadata[0]["encoded_action"]) == 2


def test_there_is_no_page_of_it_and_nothing_to_compare_with(config: Configuration) -> None:
    with pytest.raises(UserError, match=f"^model.architecture: {TOY} cannot be exported, only model.main_model.model "):
        find_exporter(config)
    with pytest.raises(UserError, match=f"^model.architecture: {TOY} has no plain variant"):
        plain_model(config)


NOT_ONLY_OF_NETWORKS = {"norm", "movement"}
NETWORKS = re.compile(r"model\.(caddy|dynamics|representation|layers\.(?!batch_norm$).+)")


@cache
def network_names() -> set[str]:
    """What the parts of models are called that a configuration can choose."""
    models = [build_model(small_configuration(*options)) for options in MODELS.values()]
    names = {name.rpartition(".")[2] for model in models for name, _ in model.named_modules()}
    return {name for name in names if name and not name.isdigit()} - NOT_ONLY_OF_NETWORKS


def network_uses(source: str) -> list[str]:
    """Where networks are read off a model, rather than their sections off a configuration; or made."""
    sections = {
        name: field.annotation.model_fields.keys()
        for name, field in Model.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }
    nodes = list(ast.walk(ast.parse(source)))
    configured = {
        id(node.value)
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.attr in sections.get(node.value.attr, ())
    }
    names = sections.keys() | network_names()
    found = [node for node in nodes if isinstance(node, ast.Attribute) and node.attr in names]
    inner = configured | {id(node) for node in found}
    uses = [
        f"{node.lineno}: .{node.attr}" for node in found if id(node) not in configured and id(node.value) not in inner
    ]
    made = [node for node in nodes if isinstance(node, ast.ImportFrom) and NETWORKS.fullmatch(node.module or "")]
    return uses + [f"{node.lineno}: {node.module}" for node in made]


def test_uses_of_networks_are_found() -> None:
    assert network_uses("x = config.model.action_network.use_gumbel") == []
    assert network_uses("x = model.action_network[0]") == ["1: .action_network"]
    assert network_uses("x = model.representation_network.conv1") == ["1: .representation_network"]
    assert network_uses("x = network.final_fc(directions)") == ["1: .final_fc"]
    assert network_uses("\nfrom model.caddy import Caddy") == ["2: model.caddy"]
    assert network_uses("from model.layers.conv_lstm import ConvLSTM") == ["1: model.layers.conv_lstm"]


def test_no_other_folder_knows_what_a_model_is_made_of() -> None:
    """But for what exports the published networks, which mirrors them."""
    files = [*REPOSITORY.glob("*.py"), *(path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py"))]
    assert len(files) > 100
    uses = {str(path.relative_to(REPOSITORY)): network_uses(path.read_text(encoding="utf-8")) for path in files}
    assert {name: found for name, found in uses.items() if found} == {}
