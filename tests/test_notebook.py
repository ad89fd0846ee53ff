"""Tests of the notebook: every cell runs without a browser and shows the results of exact inference."""

import html
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pgm_control import (
    LinearQuadratic,
    LinearQuadraticModel,
    TabularModel,
    breakdown,
    explain,
    frontier,
    infer,
    ledger,
    zoo,
)
from pgm_control.models import lottery, restaurant

NOTEBOOK = Path(__file__).parent.parent / "examples" / "notebook.py"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not NOTEBOOK.exists(), reason="the examples are not shipped with the package"),
]


@pytest.fixture(scope="module")
def app():
    pytest.importorskip("marimo")
    spec = importlib.util.spec_from_file_location("notebook", NOTEBOOK)
    module = importlib.util.module_from_spec(spec)
    sys.modules["notebook"] = module  # the app looks here for the class that is defined in a cell
    spec.loader.exec_module(module)
    yield module.app
    del sys.modules["notebook"]


def assert_same_posterior(found, expected):
    assert found.objective == pytest.approx(expected.objective, abs=1e-9)
    torch.testing.assert_close(found.policy, expected.policy)
    torch.testing.assert_close(found.dynamics, expected.dynamics)


def assert_same_posterior_of_numbers(found, expected):
    assert found.objective == pytest.approx(expected.objective, abs=1e-9)
    torch.testing.assert_close(found.gain, expected.gain)
    torch.testing.assert_close(found.policy_covariance, expected.policy_covariance)


START = {"beta": 0.3, "temperature": 1.0, "jackpot_probability": 0.01, "problem": "slippery_cliff", "horizon": 50}
MOVED = {"beta": -0.5, "temperature": 0.05, "jackpot_probability": 0.1, "problem": "frozen_lake", "horizon": 12}


@pytest.mark.parametrize(
    "moved",
    [{}, MOVED, {"beta": 2.0, "problem": "restaurant"}],
    ids=["as it opens", "the lake, adversarial", "the restaurant, beyond free"],
)
def test_every_cell_shows_the_results_of_inference(app, moved):
    outputs, found = app.run(defs=moved)
    assert {name: found[name] for name in START} == START | moved

    problem = zoo()[found["problem"]].build()
    mdp = problem.replace(horizon=found["horizon"] if problem.horizon > 1 else 1)
    betas = 1.0, found["beta"], 0.0
    models = {
        "dinners": TabularModel(restaurant(), found["temperature"]),
        "tickets": TabularModel(lottery(found["jackpot_probability"]), found["temperature"]),
        "posteriors": TabularModel(mdp, found["temperature"]),
    }
    for name, model in models.items():
        for posterior, beta in zip(found[name].values(), betas, strict=True):
            assert_same_posterior(posterior, infer(model, beta))

    model, optimistic = models["posteriors"], found["optimistic"].elbo
    free, clamped = infer(model, 1.0), infer(model, 0.0)
    assert found["account"].gap == pytest.approx(ledger(model, clamped).gap)
    assert str(found["earned"]) == str(frontier(model, found["betas"]))
    assert found["beta"] in found["betas"]
    assert found["checked"].log_evidence == pytest.approx(free.log_evidence)
    assert optimistic < free.objective
    if not moved:
        assert found["dinners"]["free"].policy[0, 0, 0] == pytest.approx(0.620749, abs=1e-6)
        assert optimistic == pytest.approx(-54.155, abs=0.01)  # the number in docs/howto/own_guide.md
        assert clamped.objective < optimistic

    problem = LinearQuadratic.from_cost(**found["numbers"], Q=1.0, horizon=6, initial_mean=1.0)
    assert found["limits"].neurotic.optimism == breakdown(LinearQuadraticModel(problem)).neurotic.optimism
    assert_same_posterior_of_numbers(found["controlled"], infer(LinearQuadraticModel(problem), found["beta"]))

    pages = [each.text for each in outputs if isinstance(getattr(each, "text", None), str)]
    shown = html.unescape("".join(pages))
    for sentence in (*explain(model).sentences, *explain(model, found["beta"]).sentences):
        assert sentence in shown


def test_beyond_the_breakdown_there_is_a_message_and_no_number(app):
    unstable = {"A": 1.4, "B": 0.5, "R": 0.2, "W": 0.6}
    outputs, found = app.run(defs={"numbers": unstable, "beta": -2.0, "problem": "restaurant"})
    assert found["controlled"] is None
    assert found["limits"].neurotic.optimism > -2.0
    shown = html.unescape("".join(str(getattr(each, "text", "")) for each in outputs))
    assert "is beyond the breakdown of this model" in shown


def test_the_notebook_passes_the_checks_of_its_editor():
    pytest.importorskip("marimo")
    command = [sys.executable, "-m", "marimo", "check", "--strict", str(NOTEBOOK)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
