"""A fresh state for each test: no parameters left over, validation on, one thread, a known seed."""

import os

import pyro
import pytest
import torch
from hypothesis import settings

# Brief: a few cases, for tests that have already passed. Reduced: a fixed set of cases. Full: many more cases, new ones
# each time, with the failing case printed.
settings.register_profile("brief", max_examples=8, deadline=None, derandomize=True, print_blob=True)
settings.register_profile("reduced", max_examples=15, deadline=None, derandomize=True, print_blob=True)
settings.register_profile("full", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("PGM_CONTROL_TESTS", "reduced"))
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fresh_world():
    pyro.clear_param_store()
    pyro.enable_validation(True)
    pyro.set_rng_seed(0)
    yield
    assert not dict(pyro.get_param_store()), "the library must leave Pyro's global parameter store empty"


def pytest_collection_modifyitems(config, items):
    """Mark the tests that open a browser as slow; skip wrong types where annotations are checked."""
    for item in items:
        if "open_page" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
        if config.getoption("jaxtyping_packages") and item.get_closest_marker("wrong_types"):
            item.add_marker(pytest.mark.skip(reason="a checker of annotations would refuse the wrong types first"))
