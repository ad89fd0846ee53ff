"""Every example runs, and the miniature agrees with the library."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from problems import random_mdp

import pgm_control
from pgm_control import TabularModel, evaluate, infer
from pgm_control._elbo import elbo

FOLDER = Path(__file__).parent.parent / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EXAMPLES, reason="the examples are not shipped with the package"),
]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_runs(path, tmp_path):
    command = [sys.executable, "-W", "error", str(path), "--smoke"]
    here = os.environ | {"PYTHONPATH": str(Path(pgm_control.__file__).parent.parent)}  # an uninstalled clone will do
    result = subprocess.run(command, cwd=tmp_path, env=here, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    assert len(path.read_text(encoding="utf8").splitlines()) <= 140, "an example is read from top to bottom"


@pytest.fixture
def mini():
    spec = importlib.util.spec_from_file_location("mini", FOLDER / "mini.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("optimism", [1.0, 0.0])
def test_the_miniature_agrees_with_the_library(mini, seed, optimism):
    mdp = random_mdp(seed=seed, horizon=4)
    model = TabularModel(mdp, 0.7)
    problem = mini.Problem(mdp.initial, mdp.probability, mdp.successor, mdp.reward, mdp.horizon, 0.7)
    objective, initial, policy, dynamics = mini.messages(problem, free=optimism == 1.0)
    posterior = infer(model, optimism)
    assert float(objective) == pytest.approx(posterior.objective, abs=1e-6)
    torch.testing.assert_close(policy, posterior.policy, atol=1e-6, rtol=0)
    torch.testing.assert_close(dynamics, posterior.dynamics, atol=1e-6, rtol=0)
    torch.testing.assert_close(initial, posterior.initial, atol=1e-6, rtol=0)
    bound = mini.elbo(problem, initial, policy, dynamics)
    assert float(bound) == pytest.approx(elbo(model, posterior.blocks()).item(), abs=1e-6)
    found = evaluate(model, posterior)
    imagined = mini.expected_return(problem, initial, policy, dynamics)
    assert float(imagined) == pytest.approx(found.imagined_return, abs=1e-6)
    true = mini.expected_return(problem, mdp.initial, policy, mdp.probability.expand_as(dynamics))
    assert float(true) == pytest.approx(found.true_return, abs=1e-6)


def test_the_miniature_imports_only_torch(mini):
    text = (FOLDER / "mini.py").read_text(encoding="utf8")
    imported = {line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imported == {"argparse", "dataclasses", "torch"}


def test_the_miniature_fits_what_it_computes(mini):
    problem = mini.river(3)
    for free in (True, False):
        objective, *_ = mini.messages(problem, free)
        assert float(mini.elbo(problem, *mini.fit(problem, free, 500))) == pytest.approx(float(objective), abs=1e-3)
