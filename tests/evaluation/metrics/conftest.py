"""Fixtures that tests of metrics share."""

import numpy as np
import pytest


@pytest.fixture
def random() -> np.random.Generator:
    """The same numbers for every test."""
    return np.random.default_rng(0)
