"""`pgm-control plan --terminal`: a trained critic as terminal value, and what is refused."""

import json
import pickle
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from command_line import run

from pgm_control import TabularModel, zoo
from pgm_control.cli.planning.problem import planner_maker
from pgm_control.cli.run_folder import RunFolder
from pgm_control.learners import SoftQLearning
from pgm_control.planners import MPPI

pytestmark = pytest.mark.slow
TINY = ["--option", "hidden=4", "--seed", "0", "--total-steps", 40, "--evaluate-every", 0]
PLAN = ["plan", "windy_bridge", "--num-plans", 16, "--num-noise-samples", 2, "--horizon", 3, "--seed", 3]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of two learners in the bridge, and of one elsewhere."""
    from pgm_control.cli import main

    folder = tmp_path_factory.mktemp("runs")
    for name, algorithm, env in (
        ("critic", "soft_q", "pgm_control/WindyBridge-v0"),
        ("none", "policy_gradient", "pgm_control/WindyBridge-v0"),
        ("elsewhere", "soft_q", "pgm_control/RiskyPath-v0"),
    ):
        own = ["--temperature", 1.0, *(["--option", "learning_starts=10"] if algorithm == "soft_q" else [])]
        words = ["train", algorithm, env, *TINY, *own, "--out", folder / name]
        assert main.main([str(each) for each in words]) == 0
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_plans_are_those_of_the_library_with_this_critic(runs, capsys):
    words = [*PLAN, "--terminal", runs / "critic", "--out", "walks"]
    status, out, err = run(capsys, *words, "--num-episodes", 1)
    assert status == 0, err
    assert f"--terminal {runs / 'critic'}" in out
    facts = json.loads(Path("walks/run.json").read_text())
    assert facts["settings"]["terminal_steps"] == 40
    again = [*shlex.split(facts["command"])[1:], "--num-episodes", "2", "--out", "walks"]
    status, out, err = run(capsys, *again)
    assert status == 0, err
    assert "continues after 1 of 2 episodes" in out

    entry = zoo()["windy_bridge"]
    model, critic = TabularModel(entry.build(), entry.temperature), RunFolder(runs / "critic").policy(SoftQLearning)
    made = planner_maker("mppi", model, facts["settings"], critic)(5)
    given = {"optimism": 0.0, "num_plans": 16, "num_noise_samples": 2, "horizon": 3, "seed": 5}
    ours = MPPI(model, terminal_value=critic, **given)
    states = torch.arange(4)
    assert isinstance(made, MPPI)
    assert torch.equal(made.plan(states).value, ours.plan(states).value)
    assert not torch.equal(ours.plan(states).value, MPPI(model, **given).plan(states).value)


def test_a_critic_that_has_learned_more_is_another_run(runs, capsys):
    words = [*PLAN, "--num-episodes", 1, "--terminal", runs / "critic", "--out", "walks"]
    assert run(capsys, *words)[0] == 0
    path = Path("walks/run.json")
    facts = json.loads(path.read_text())
    facts["settings"]["terminal_steps"] = 20
    path.write_text(json.dumps(facts))
    status, _, err = run(capsys, *words)
    assert status == 2
    assert "terminal_steps` 20, and this one 40" in err


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("elsewhere", [], "is one in pgm_control/RiskyPath-v0"),
        ("none", [], "policy_gradient has none"),
        ("nowhere", [], "nowhere` must be the folder of a training run"),
        ("critic", ["--planner", "receding"], "is for planners that draw plans"),
    ],
)
def test_other_folders_are_refused_by_name(runs, capsys, name, more, words):
    plan = [*PLAN[:2], "--seed", 3] if more else PLAN
    status, _, err = run(capsys, *plan, *more, "--num-episodes", 1, "--terminal", runs / name, "--out", "walks")
    assert status == 2
    assert words in " ".join(err.split())
    assert not Path("walks/run.json").exists()


def test_a_file_that_would_run_code_is_refused(runs, capsys):
    shutil.copytree(runs / "critic", "broken")
    Path("broken/policy.pt").write_bytes(pickle.dumps(Path))
    status, _, err = run(capsys, *PLAN, "--num-episodes", 1, "--terminal", "broken", "--out", "walks")
    assert status == 2
    assert "policy.pt" in err
