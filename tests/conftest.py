"""One world per test: no parameters left over, validation on, one thread, a known seed."""

import pyro
import pytest
import torch
from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("repeatable")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fresh_world():
    pyro.clear_param_store()
    pyro.enable_validation(True)
    pyro.set_rng_seed(0)
    yield
    assert not dict(pyro.get_param_store()), "the library must leave Pyro's global parameter store empty"
