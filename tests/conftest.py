"""A fresh state for each test: no parameters left over, validation on, one thread, a known seed."""

import os
import tempfile
from collections import Counter
from pathlib import Path

import pyro
import pytest
import torch
from hypothesis import settings
from preloaded import commands

# Brief: a third of the cases of each test, for tests that have already passed. Reduced: a fixed set of cases. Full:
# many more, new ones each time, with the failing case printed.
settings.register_profile("brief", max_examples=8, deadline=None, derandomize=True, print_blob=True)
settings.register_profile("reduced", max_examples=15, deadline=None, derandomize=True, print_blob=True)
settings.register_profile("full", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("PGM_CONTROL_TESTS", "reduced"))
BRIEF, FULL = (os.environ.get("PGM_CONTROL_TESTS") == each for each in ("brief", "full"))
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fresh_world():
    pyro.clear_param_store()
    pyro.enable_validation(True)
    pyro.set_rng_seed(0)
    yield
    assert not dict(pyro.get_param_store()), "the library must leave Pyro's global parameter store empty"


@pytest.fixture
def few_draws(monkeypatch):
    """`check_guide` estimates what it cannot compute from 40 draws, not 200, with a fence as much wider."""
    if not FULL:
        monkeypatch.setattr("pgm_control.testing.laws._SAMPLES", 40)


@pytest.fixture(scope="session")
def preloaded():
    """A folder with commands, `python` and `pgm-control`, that begin in a process with the libraries imported."""
    import pgm_control  # here, because the checker of annotations comes first

    root = str(Path(pgm_control.__file__).parent.parent)  # also works in a clone that is not installed
    with (
        tempfile.TemporaryDirectory() as folder,  # of a short name, as a socket needs
        commands(Path(folder), os.environ | {"PYTHONPATH": root, "MPLBACKEND": "agg"}) as found,
    ):
        yield found


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config, items):
    """Mark the tests that open a browser as slow; skip wrong types where annotations are checked; thin out if brief."""
    for item in items:
        if "open_page" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
        if config.getoption("jaxtyping_packages") and item.get_closest_marker("wrong_types"):
            item.add_marker(pytest.mark.skip(reason="a checker of annotations would refuse the wrong types first"))
    result = yield
    if BRIEF:
        seen, left_out = Counter(), []
        for item in items:
            test = item.nodeid.partition("[")[0]
            if seen[test] % 3:
                left_out.append(item)
            seen[test] += 1
        dropped = set(left_out)
        items[:] = [item for item in items if item not in dropped]
        config.hook.pytest_deselected(items=left_out)
    return result
