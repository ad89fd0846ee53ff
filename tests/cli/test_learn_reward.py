"""`pgm-control learn-reward`: its output, its files and its error messages."""

import csv
import json
import shlex
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from problems import sized

from pgm_control import TabularModel, infer
from pgm_control.cli import main as cli
from pgm_control.inverse_rl import ClampedDemonstrator, Demonstrations, inverse
from pgm_control.models import risky_path, zoo

ROOT = Path(cli.__file__).parent.parent.parent


def run(capsys, *args):
    status = cli.main(["learn-reward", *args])
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def seen(tmp_path):
    """Thirty episodes in a file of numpy, and the same episodes in the library's own form."""
    mdp = risky_path()
    found = infer(TabularModel(mdp, 2.0), 0.0).sample(30, torch.Generator().manual_seed(0))
    path = tmp_path / "seen.npz"
    np.savez(path, obs=found.states.numpy(), acts=found.actions.numpy())
    return path, Demonstrations.from_trajectories(mdp, found)


def test_help_imports_nothing_slow():
    code = (
        "import sys\nfrom pgm_control.cli.main import main\ntry:\n    main(['learn-reward', '--help'])\nfinally:\n"
        "    print('slow:', sorted({'torch', 'pyro', 'numba', 'matplotlib'} & set(sys.modules)))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "slow: []" in found.stdout
    for option in ("NAME", "--demonstrations FILE.npz", "--num-episodes", "--demonstrator", "--by", "--of", "--prior"):
        assert option in found.stdout


def test_the_command_and_the_library_agree_on_the_same_file(capsys, tmp_path, seen):
    path, demonstrations = seen
    asked = ("risky_path", "--demonstrations", str(path), "--temperature", "2", "--prior", "5", "--out", "there")
    status, out, err = run(capsys, *asked)
    assert (status, err) == (0, "")
    expected = inverse(TabularModel(risky_path(), 2.0), demonstrations, "state", ClampedDemonstrator(), prior=5.0)
    assert f"log-likelihood {expected.log_likelihood:.4f} nats" in out
    assert sorted(each.name for each in (tmp_path / "there").iterdir()) == ["reward.csv", "reward.json", "reward.png"]
    held = json.loads((tmp_path / "there" / "reward.json").read_text(encoding="utf8"))
    assert held["status"] == "converged"
    assert held["occupancy_error"] == pytest.approx(expected.occupancy_error)
    with (tmp_path / "there" / "reward.csv").open(encoding="utf8") as file:
        rows = list(csv.DictReader(file))
    learned, visits = (np.array([float(row[each]) for row in rows]) for each in ("learned", "visits"))
    own = np.array([float(row["true"]) for row in rows])
    visited = (demonstrations.pairs.sum(-1) > 0).numpy()
    table = expected.table[visited, 0, 0].numpy()
    np.testing.assert_allclose(learned - learned[0], table - table[0], atol=1e-9)
    assert visits.sum() == pytest.approx(risky_path().horizon)
    assert visits @ (learned - own) == pytest.approx(0.0, abs=1e-9)
    assert (tmp_path / "there" / "reward.png").read_bytes().startswith(b"\x89PNG")


def test_its_commands_can_be_run_again(capsys, tmp_path):
    status, out, _ = run(
        capsys, "slippery_cliff", "--num-episodes", "20", "--horizon", "6", "--prior", "3", "--seed", "4"
    )
    assert status == 0
    assert "20 demonstrations by a clamped demonstrator, seed 4" in " ".join(out.split())
    folder = tmp_path / "pgm-control-out" / "slippery_cliff-reward"
    first = json.loads((folder / "reward.json").read_text(encoding="utf8"))
    again = shlex.split(first["command"])[2:]
    assert run(capsys, *again)[0] == 0
    assert json.loads((folder / "reward.json").read_text(encoding="utf8"))["reward"] == first["reward"]
    following = shlex.split(out.splitlines()[-1])
    assert following[:2] == ["pgm-control", "learn-reward"]
    status, out, _ = run(capsys, *following[2:])
    assert status == 0
    assert "by a free demonstrator" in " ".join(out.split())


@pytest.mark.parametrize(("of", "name"), [("state_action", "(3, 0), up"), ("outcome", "(3, 0), up, to (2, 0)")])
def test_rewards_of_actions_and_of_outcomes_by_an_optimistic_demonstrator(capsys, of, name):
    args = (
        "--num-episodes",
        "30",
        "--by",
        "0.5",
        "--demonstrator",
        "0.5",
        "--of",
        of,
        "--prior",
        "1",
        "--horizon",
        "3",
    )
    status, out, _ = run(capsys, "slippery_cliff", *args)
    assert status == 0
    assert "by a demonstrator of optimism 0.5" in " ".join(out.split())
    assert name in out


def test_a_demonstrator_of_a_risk_parameter_is_the_dial_at_this_temperature(capsys, tmp_path):
    common = ("risky_path", "--num-episodes", "40", "--temperature", "2", "--prior", "3")
    status, out, _ = run(capsys, *common, "--risk", "-0.25", "--out", "risk")
    assert status == 0
    assert "40 demonstrations by a demonstrator of risk parameter -0.25, seed 0" in " ".join(out.split())
    assert "--risk" not in out.splitlines()[-1]
    assert run(capsys, *common, "--demonstrator", "-0.5", "--out", "dial")[0] == 0
    held = [json.loads((tmp_path / each / "reward.json").read_text(encoding="utf8")) for each in ("risk", "dial")]
    for one, other in zip(*(each["reward"] for each in held), strict=True):
        assert one["name"] == other["name"]
        assert one["learned"] == pytest.approx(other["learned"], abs=1e-6)
    again = shlex.split(held[0]["command"])[2:]
    assert run(capsys, *again)[0] == 0


def test_observed_outcomes_count_for_a_free_demonstrator(capsys, tmp_path):
    """The ticket that wins with probability .01 wins here: observed outcomes are counted, not expected ones."""
    run(capsys, "lottery", "--num-episodes", "50", "--demonstrator", "free", "--of", "outcome", "--prior", "1")
    held = json.loads((tmp_path / "pgm-control-out/lottery-reward/reward.json").read_text(encoding="utf8"))
    visits = {row["name"]: row["visits"] for row in held["reward"]}
    assert visits["choosing, buy a ticket, to rich"] > 0.9


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "Either --demonstrations FILE.npz or --num-episodes N must be given"),
        (["--num-episodes", "3", "--demonstrations", "seen.npz"], "Either --demonstrations"),
        (["--num-episodes", "0"], "--num-episodes must be a whole number, at least 1"),
        (["--num-episodes", "3", "--seed", "-1"], "--seed must be a whole number, at least 0"),
        (
            ["--num-episodes", "3", "--demonstrator", "drunk"],
            "--demonstrator must be clamped, free, boltzmann or a number",
        ),
        (["--num-episodes", "3", "--by", "nan"], "--by must be clamped"),
        (["--num-episodes", "3", "--of", "action"], "--of must be state, state_action, outcome"),
        (["--num-episodes", "3", "--prior", "-1"], "--prior must be a positive standard deviation"),
        (["--num-episodes", "3", "--prior", "strong"], "weak, or 0 or none for none, but is 'strong'"),
        (["--demonstrations", "nowhere.npz"], "nowhere.npz"),
        (["--demonstrations", "words.npz"], "--demonstrations must be a file of numpy"),
        (["--demonstrations", "other.npz"], "--demonstrations must hold obs, the states (n, T + 1)"),
        (["--demonstrations", "seen.npz", "--horizon", "1"], "Demonstration 0 must have at most 1 actions"),
    ],
)
def test_mistakes_are_one_line_that_names_the_option(capsys, tmp_path, seen, args, message):
    (tmp_path / "words.npz").write_text("no arrays")
    np.savez(tmp_path / "other.npz", obs=np.zeros((3, 2)))
    status, out, err = run(capsys, "risky_path", *args)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def numbers(tmp_path, name):
    return json.loads((tmp_path / "pgm-control-out" / f"{name}-reward" / "reward.json").read_text(encoding="utf8"))


@pytest.mark.parametrize("name", ["lottery", "restaurant", "restaurant_twin"])
def test_where_only_one_state_is_visited_nothing_can_be_learned(capsys, name):
    status, out, err = run(capsys, name, "--num-episodes", "50")
    assert (status, out) == (2, "")
    assert "Only one state was visited: nothing can be learned. Use --of outcome." in err
    assert run(capsys, name, "--num-episodes", "50", "--of", "outcome")[0] == 0


def test_a_single_row_agrees_by_construction_and_says_so(capsys):
    _, out, _ = run(capsys, "lottery", "--num-episodes", "50", "--of", "outcome")
    assert "agree by construction" in " ".join(out.split())


@pytest.mark.slow
def test_rewards_that_grow_without_bound_are_named_and_the_weak_prior_holds_them(capsys, tmp_path):
    lake = ("FrozenLake-v1", "--num-episodes", "50", "--temperature", "0.05")
    status, out, _ = run(capsys, *lake)
    held = numbers(tmp_path, "FrozenLake-v1")
    assert (status, held["status"], held["unbounded"]) == (0, "converged", [])
    assert "standard deviation 0.5" in " ".join(out.split())  # 10 temperatures
    assert "Warning" not in out
    assert max(abs(row["learned"]) for row in held["reward"]) < 1.0
    assert "of 17 directions of the reward are identified" in " ".join(out.split())
    for none in ("none", "0"):
        status, out, _ = run(capsys, *lake, "--prior", none)
        held = numbers(tmp_path, "FrozenLake-v1")
        assert (status, held["status"]) == (0, "unbounded")
        assert "grows without bound: " + "; ".join(held["unbounded"]) in " ".join(out.split())
        assert "Give --prior" in " ".join(out.split())
        large = [row["name"] for row in held["reward"] if abs(row["learned"]) > 1.0]
        assert large
        assert set(large) <= set(held["unbounded"])


@pytest.mark.slow
def test_the_true_column_is_the_expected_reward_of_the_problem(capsys, tmp_path):
    """Beside the goal of the lake two of three outcomes of "down" pay nothing; whether the third was seen is luck."""
    args = ("FrozenLake-v1", "--num-episodes", "50", "--temperature", "0.05")
    _, out, _ = run(capsys, *args, "--of", "state_action", "--horizon", "30")
    true = {row["name"]: row["true"] for row in numbers(tmp_path, "FrozenLake-v1")["reward"]}
    beside = {name: paid for name, paid in true.items() if name.startswith("(3, 2)")}
    assert beside
    assert all(paid == pytest.approx(0.0 if "left" in name else 1 / 3) for name, paid in beside.items())
    assert "the problem's own expected reward" in " ".join(out.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "number"),
    [(name, number) for i, name in enumerate(sorted(zoo())) for number in sized((50, 500), ((50, 500)[i % 2],))],
)
def test_every_problem_gives_credible_rewards_or_a_reason(capsys, tmp_path, name, number):
    """No number is above 100 times the largest true reward unless a warning names it, and every output says what is
    identified."""
    status, out, err = run(capsys, name, "--num-episodes", str(number))
    if status:
        assert "Only one state was visited: nothing can be learned. Use --of outcome." in err
        return
    mdp, held = zoo()[name].build(), numbers(tmp_path, name)
    scale = float(torch.where(mdp.probability > 0, mdp.reward, 0.0).abs().max())
    said = " ".join(out.split())
    assert "directions of the reward are identified" in said
    for row in held["reward"]:
        if abs(row["learned"]) > 100 * scale:
            assert "Warning: above 100 times" in said
            assert row["name"] in said
    span = max(row["true"] for row in held["reward"]) - min(row["true"] for row in held["reward"])
    off = max(abs(row["learned"] - row["true"]) for row in held["reward"])
    if off <= 0.2 * span and f"{mdp.num_states - 1} of {mdp.num_states} directions" in said:
        assert "Warning" not in said


class Ring(gymnasium.Env):
    """Three states in a ring. Each pays its own reward, so that this is what rewards of states can represent."""

    observation_space, action_space = gymnasium.spaces.Discrete(3), gymnasium.spaces.Discrete(2)
    initial_state_distrib = np.array([0.4, 0.3, 0.3])

    def __init__(self):
        paid = (0.0, 1.5, -1.0)
        self.P = {
            s: {a: [(p, s, paid[s], False), (1 - p, (s + 1) % 3, paid[s], False)] for a, p in enumerate((0.8, 0.1))}
            for s in range(3)
        }


@pytest.fixture
def ring():
    gymnasium.register("test/Ring-v0", Ring)
    yield "test/Ring-v0"
    del gymnasium.registry["test/Ring-v0"]


def test_there_is_no_warning_where_all_but_a_constant_is_identified_and_the_estimate_is_near_the_truth(
    capsys, tmp_path, ring
):
    status, out, err = run(capsys, ring, "--num-episodes", "4000", "--horizon", "8", "--temperature", "1", "--out", "a")
    assert (status, err) == (0, "")
    said, rows = " ".join(out.split()), json.loads((tmp_path / "a/reward.json").read_text(encoding="utf8"))["reward"]
    assert "2 of 4 directions of the reward are identified" in said  # the end of an episode is never reached
    assert "1 adds a constant to every reward" in said
    true, learned = ([row[each] for row in rows] for each in ("true", "learned"))
    assert max(true) - min(true) == pytest.approx(2.5)
    assert learned == pytest.approx(true, abs=0.2 * 2.5)
    assert "Warning" not in said


def test_without_matplotlib_it_carries_on(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, out, _ = run(capsys, "risky_path", "--num-episodes", "5", "--prior", "1")
    assert status == 0
    assert "Picture: none." in out
