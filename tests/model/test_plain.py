import pytest
import torch

from model.build import build_model
from model.plain import PLAIN_CLASSES, plain_model
from model.playable import most_probable_actions
from tests.configurations import MODELS, small_configuration


@pytest.mark.parametrize("overrides", MODELS.values(), ids=MODELS)
def test_the_plain_model_computes_the_same(overrides: tuple[str, ...]) -> None:
    config = small_configuration(*overrides)
    torch.manual_seed(0)
    ours = build_model(config).eval()
    plain = plain_model(config).eval()
    plain.load_state_dict(ours.state_dict())
    made_plain = {PLAIN_CLASSES[type(module)] for module in ours.modules() if type(module) in PLAIN_CLASSES}
    assert {type(module) for module in plain.modules()} >= made_plain
    assert not {type(module) for module in plain.modules()} & PLAIN_CLASSES.keys()
    if not overrides:
        assert made_plain == set(PLAIN_CLASSES.values())

    observations = torch.rand(2, 4, 3 * ours.stack_shape[0], 16, 32) * 2 - 1
    frames = []
    for model in (ours, plain):
        torch.manual_seed(1)  # of the variations and the noise
        frames.append(model(observations, 1, action_sampler=most_probable_actions).frames.full)
    torch.testing.assert_close(*frames, atol=1e-5, rtol=0)
