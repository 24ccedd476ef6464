import pytest

from model.build import BUILDERS, build_model
from model.caddy import Caddy
from tests.configurations import small_configuration
from utils.command import UserError
from utils.model_configuration import ARCHITECTURES


def test_configurations_may_name_what_can_be_built() -> None:
    assert tuple(BUILDERS) == ARCHITECTURES


@pytest.mark.parametrize("architecture", ["model.main_model.model", "model.reduced_model.model"])
def test_the_published_models(architecture: str) -> None:
    model = build_model(small_configuration(f"model.architecture={architecture}"))
    assert isinstance(model, Caddy)
    assert model.training
    assert model.stack_shape == (1, 16, 32, 3)
    assert (model.actions_count, model.action_space_dimension) == tuple(model.centroids.shape) == (3, 2)


def test_another_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.model_configuration.ARCHITECTURES", ("toy",))
    config = small_configuration("model.architecture=toy")
    names = "'model.main_model.model' or 'model.reduced_model.model' or 'model.seeing_model.model'"
    expected = f"^model.architecture: must be {names}, not 'toy'$"
    with pytest.raises(UserError, match=expected):
        build_model(config)
