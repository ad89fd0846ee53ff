"""Each loop is compiled once, is announced before, and works where nothing can be cached."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from problems import random_mdp

from pgm_control import (
    ClampedGuide,
    FreeGuide,
    MeanFieldGuide,
    Optimism,
    TabularModel,
    evaluate,
    fit,
    infer,
    soft_values,
    zoo,
)
from pgm_control.cli import compare, main
from pgm_control.kernels.backend import before_compiling

numba = pytest.importorskip("numba", reason="needs the extra `fast`")

from pgm_control.kernels import backend, compiling, finite_horizon  # noqa: E402  after the check above


def use(model):
    """Call the loops in every way that the library calls them."""
    for optimism in (1.0, 0.0, 0.05, -1.0, Optimism(1.0, 0.0)):
        evaluate(model, infer(model, optimism))
    reward = model.mdp.reward.clone().requires_grad_()
    found = soft_values(model, torch.tensor([0.0, 0.3, 1.0]), reward=reward)
    (found.objective.sum() + found.v.sum()).backward()
    for optimism in (0.0, 1.0, Optimism(1.0, 0.0)):
        soft_values(model, optimism, reward=reward).objective.backward()
    for guide in (FreeGuide(model), ClampedGuide(model), MeanFieldGuide(model)):
        fit(model, guide, num_steps=1, seed=0)
        if not isinstance(guide, MeanFieldGuide):
            fit(model, guide, method="natural_gradient", num_steps=1)


@pytest.mark.parametrize(
    "name",
    [
        "solve",
        "solve_one",
        "factors_of_one",
        "visits_of_one",
        "elbo_to_go",
        "elbo_gradients",
        "natural_step",
        "tilted",
        "tilted_gradient",
        "untilted",
        "row_error",
    ],
)
def test_one_compilation_serves_a_problem_its_twin_and_any_order_of_its_tables_in_memory(name, monkeypatch):
    monkeypatch.delenv("PGM_CONTROL_BACKEND", raising=False)
    problems = [zoo()[each].build(horizon=3) for each in ("risky_path", "risky_path_twin")]
    mdp = random_mdp(seed=1, horizon=3, discount=0.9)
    transposed = {
        each: getattr(mdp, each).transpose(0, 2).contiguous().transpose(0, 2)
        for each in ("probability", "successor", "reward")
    }
    narrow = mdp.replace(successor=mdp.successor.to(torch.int32))
    for problem in (*problems, mdp, mdp.replace(**transposed), narrow):
        use(TabularModel(problem, 0.7))
    doubles = [each for each in getattr(finite_horizon, name).signatures if "float32" not in str(each)]
    assert len(doubles) == 1, doubles


def test_a_folder_that_cannot_be_written_means_no_cache_and_one_warning(monkeypatch):
    compiling._warn_of_no_cache.cache_clear()
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])

    def plus_one(x):
        return x + 1

    def plus_two(x):
        return x + 2

    with pytest.warns(RuntimeWarning, match="NUMBA_CACHE_DIR") as said:
        one, two = compiling.entry(plus_one), compiling.entry(plus_two)
    assert (one(1), two(1)) == (2, 3)
    assert len(said) == 1


def test_a_compilation_is_announced_once_and_a_loop_that_is_ready_is_not(monkeypatch):
    monkeypatch.delenv("PGM_CONTROL_BACKEND", raising=False)
    infer(TabularModel(random_mdp(seed=1, horizon=3)), 0.0)  # imports the loops

    def plus_one(x):
        return x + 1

    plus_one.__module__ = "pgm_control.kernels.of_a_test"
    monkeypatch.setattr(backend, "_notices", [])
    said, loop = [], numba.njit(plus_one)
    with before_compiling(said.append):
        loop(1)
        assert len(said) == 1
        assert said[0].startswith("Compiling the loops that this needs, each only once after an installation: ")
        loop(2)
        loop(2.0)
    with before_compiling(said.append):
        loop(3)
    loop(1j)
    assert len(said) == 1


@pytest.mark.slow
def test_a_call_in_python_says_that_it_compiles(tmp_path):
    code = (
        "from pgm_control import TabularModel, infer\n"
        "from pgm_control.models import risky_path\n"
        "infer(TabularModel(risky_path()), 0.0)\n"
    )
    root = str(Path(compiling.__file__).parents[2])
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": root}
    for said in (1, 0):
        found = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert found.stderr.count("Compiling the loops that this needs, each only once after an installation: ") == said
        assert found.stdout == ""


def test_the_command_line_says_that_it_compiles(monkeypatch, capsys):
    monkeypatch.delenv("PGM_CONTROL_BACKEND", raising=False)
    infer(TabularModel(random_mdp(seed=1, horizon=3)), 0.0)  # imports the loops

    def plus_one(x):
        return x + 1

    plus_one.__module__ = "pgm_control.kernels.of_a_test"
    monkeypatch.setattr(backend, "_notices", [])
    loop = numba.njit(plus_one)
    monkeypatch.setattr(compare, "compare", lambda *_: loop(1))
    for said in (1, 0):
        assert main.main(["compare", "risky_path"]) == 0
        assert capsys.readouterr().err.count("Compiling the loops that this needs, each only once after") == said


def test_warnings_are_not_raised_where_a_cache_can_be_written():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiling.entry(lambda x: x)
