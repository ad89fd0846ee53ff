"""The zoo: every card is complete and correct, every twin is deterministic, every known answer is reproduced."""

import inspect
import re
from pathlib import Path

import gymnasium
import numpy as np
import oracles
import pytest
import torch
from hypothesis import given
from strategies import laws, mdp_of, problem_of, problems

from pgm_control import InvalidArgument, Optimism, TabularMDP, TabularModel, evaluate, infer, zoo
from pgm_control.models import (
    ZooEntry,
    deterministic_twin,
    frozen_lake,
    frozen_lake_twin,
    lottery,
    lottery_twin,
    restaurant,
    restaurant_twin,
    risky_path,
    risky_path_twin,
    slippery_cliff,
    slippery_cliff_twin,
    tiger,
    windy_bridge,
    zoo_entry,
)
from pgm_control.problems.named import PROBLEMS

MAP = Path(__file__).parent.parent.parent / "models" / "README.md"
STOCHASTIC = [name for name, entry in zoo().items() if entry.twin is not None]
CARDS = (restaurant, lottery, risky_path, windy_bridge, tiger, slippery_cliff, frozen_lake)
every_entry = pytest.mark.parametrize("entry", zoo().values(), ids=zoo().keys())


def prefers(mdp, optimism, temperature=1.0):
    """The policy in the start state."""
    return infer(TabularModel(mdp, temperature), optimism).policy[0, 0]


def same_tables(one, other):
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("initial", "successor", "reward"))


# The entries


@every_entry
def test_an_entry_builds_and_has_a_summary(entry):
    assert re.fullmatch(r"[A-Z][^\n]*\.", entry.summary)
    mdp = entry.build()
    assert isinstance(mdp, TabularMDP)
    assert mdp.state_names is not None
    assert mdp.action_names is not None
    if "horizon" in inspect.signature(entry.build).parameters:
        assert entry.build(horizon=7).horizon == 7
    else:
        assert mdp.horizon == 1


@every_entry
def test_an_entry_is_random_or_a_deterministic_twin(entry):
    mdp = entry.build()
    if entry.twin is None:
        assert mdp.is_deterministic
        assert zoo()[entry.name.removesuffix("_twin")].twin == entry.name
    else:
        twin = zoo()[entry.twin].build()
        assert not mdp.is_deterministic
        assert (twin.num_states, twin.num_actions, twin.horizon) == (mdp.num_states, mdp.num_actions, mdp.horizon)
        assert (twin.state_names, twin.action_names) == (mdp.state_names, mdp.action_names)
        assert twin.layout == mdp.layout


@every_entry
def test_the_cells_of_a_grid_are_named_by_their_position(entry):
    mdp = entry.build()
    assert (mdp.layout is not None) == entry.name.startswith(("windy", "slippery", "frozen"))
    for cell, name in zip(mdp.layout or (), mdp.state_names or (), strict=False):
        assert name == str(cell) if cell is not None else name in ("ended", "bank", "water")


@pytest.mark.parametrize("name", STOCHASTIC)
def test_free_and_clamped_differ_on_the_original_and_agree_on_the_twin(name):
    entry = zoo_entry(name)
    free, clamped = (infer(TabularModel(entry.build(), 0.5), optimism) for optimism in (1.0, 0.0))
    assert free.objective > clamped.objective + 1e-3
    twin = TabularModel(zoo_entry(entry.twin).build(), 0.5)
    free, clamped = infer(twin, 1.0), infer(twin, 0.0)
    assert free.objective == pytest.approx(clamped.objective, abs=1e-12)
    torch.testing.assert_close(free.policy, clamped.policy, rtol=0, atol=1e-12)


def test_the_zoo_cannot_be_changed_and_its_names_are_those_of_the_entries():
    with pytest.raises(TypeError):
        zoo()["mine"] = zoo()["lottery"]  # pyright: ignore[reportIndexIssue]
    assert all(entry.name == name and isinstance(entry, ZooEntry) for name, entry in zoo().items())
    assert zoo_entry("risky_path") is zoo()["risky_path"]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("resturant", "restaurant"), ("Risky-Path", "risky_path"), ("cliff", "slippery_cliff"), ("lotery", "lottery")],
)
def test_a_wrong_name_suggests_the_nearest_one(wrong, right):
    with pytest.raises(
        InvalidArgument, match=rf"`name` must be one of the zoo, but is '{wrong}'. Did you mean '{right}'"
    ):
        zoo_entry(wrong)


def test_a_name_like_no_other_gets_the_whole_list():
    with pytest.raises(InvalidArgument, match=r"but is 'zzz'\. The zoo has restaurant, restaurant_twin, lottery,"):
        zoo_entry("zzz")


@pytest.mark.parametrize("facts", PROBLEMS, ids=lambda facts: facts.name)
def test_what_is_said_without_building_a_problem_is_true(facts):
    entry = zoo_entry(facts.name)
    mdp = entry.build()
    assert (facts.num_states, facts.num_actions) == (mdp.num_states, mdp.num_actions)
    assert facts.settings == (entry.temperature, mdp.horizon)
    assert (facts.summary, facts.twin) == (entry.summary, entry.twin)
    if facts.environment is not None:
        table = TabularMDP.from_gymnasium(gymnasium.make(facts.environment), mdp.horizon)
        for name in ("initial", "probability", "successor", "reward"):
            assert torch.equal(getattr(table, name), getattr(mdp, name))


@pytest.mark.parametrize("name", STOCHASTIC)
def test_at_its_own_temperature_a_problem_shows_what_its_guides_do(name):
    """The free guide earns less than the clamped one, which earns half of what the best policy adds to the worst."""
    model = zoo_entry(name).model()
    free, clamped = (evaluate(model, infer(model, optimism)).true_return for optimism in (1.0, 0.0))
    hard = infer(TabularModel(model.mdp, 0.0), 0.0)
    best = float(hard.v[0] @ model.mdp.initial)
    assert clamped - free > 0.5 * (best - free) > 0.1


# The cards


@pytest.mark.parametrize("build", [*CARDS, deterministic_twin], ids=lambda build: build.__name__)
def test_a_card_has_its_headings(build):
    headings = ["Joint density", "States", "Actions", "Outcomes and rewards", "Horizon", "Known exactly"]
    if build is deterministic_twin:
        headings = ["Joint density", "States, actions, outcomes and rewards, horizon", "Known exactly"]
    card = inspect.getdoc(build) or ""
    found = re.findall(r"^(\w[^\n.]*)\n    \S", card, flags=re.MULTILINE)
    assert [heading for heading in found if heading in headings] == headings
    assert r"\exp(" in card


@pytest.mark.skipif(not MAP.exists(), reason="needs the source tree")
def test_the_tables_of_the_readme_are_correct():
    text = MAP.read_text(encoding="utf8")
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", text, flags=re.MULTILINE)
    assert [name for name, _ in rows] == list(zoo())
    for name, temperature in rows:
        model = zoo_entry(name).model()
        assert model.temperature == float(temperature)
        free, clamped = (infer(model, optimism) for optimism in (1.0, 0.0))
        imagined, cautious = evaluate(model, free), evaluate(model, clamped)
        numbers = (
            free.log_evidence,
            imagined.imagined_return,
            imagined.true_return,
            clamped.objective,
            cautious.true_return,
        )
        row = f"| `{name}` | {temperature} | {' | '.join(f'{number:.4f}' for number in numbers)} |"
        assert row in text, row
    for name in STOCHASTIC:
        mdp = zoo_entry(name).build()
        sizes = f"{mdp.num_states}, {mdp.num_actions}, {mdp.num_outcomes} | {mdp.horizon} |"
        assert re.search(rf"^\| `{name}` \| `\w+\.py` \| [^|]+ \| {re.escape(sizes)}$", text, flags=re.MULTILINE)


# Known answers (to all printed digits)


def test_restaurant():
    model = TabularModel(restaurant())
    free, clamped = infer(model, 1.0), infer(model, 0.0)
    assert f"{clamped.policy[0, 0, 1]:.6f}" == "0.890903"
    assert f"{free.policy[0, 0, 0]:.6f}" == "0.620749"
    assert f"{free.log_evidence:.6f}" == "6.514996"
    assert f"{clamped.objective:.6f}" == "4.722372"
    assert f"{free.dynamics[0, 0, 0, 2]:.3f}" == "0.711"
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if infer(model, middle).policy[0, 0, 1] > 0.5 else (low, middle)
    assert f"{low:.6f}" == "0.345580"


def test_lottery():
    free, clamped = (infer(TabularModel(lottery()), optimism) for optimism in (1.0, 0.0))
    assert f"{clamped.policy[0, 0, 0]:.6f}" == f"{1 / (1 + np.exp(3.87)):.6f}" == "0.020432"
    assert f"{clamped.q[0, 0, 0]:.2f}" == "-0.87"
    assert f"{free.q[0, 0, 0]:.6f}" == f"{np.log(0.01 * np.exp(12) + 0.99 * np.exp(-1)):.6f}" == "7.395054"
    assert f"{free.policy[0, 0, 0]:.6f}" == "0.987812"
    assert f"{free.dynamics[0, 0, 0, 0]:.6f}" == "0.999776"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"jackpot_probability": 1.5}, "`jackpot_probability` must be more than 0 and less than 1, but is 1.5"),
        ({"jackpot_probability": 0.0}, "`jackpot_probability` must be more than 0 and less than 1, but is 0.0"),
        ({"wage": float("nan")}, "`wage` must be a finite amount of money, but is nan"),
        ({"jackpot": float("inf")}, "`jackpot` must be a finite amount of money, but is inf. Use a large number"),
        ({"price": -1.0}, "`price` must be at least 0, .* but is -1.0. Drop its sign"),
    ],
)
def test_lottery_refuses_invalid_arguments(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        lottery(**arguments)


@pytest.mark.parametrize(
    ("horizon", "free", "clamped"), [(3, "0.6652", "5.4e-44"), (5, "0.6884", "8.3e-88"), (10, "0.6893", "1.8e-197")]
)
def test_risky_path(horizon, free, clamped):
    assert f"{prefers(risky_path(horizon), 1.0)[1]:.4f}" == free
    assert f"{prefers(risky_path(horizon), 0.0)[1]:.1e}" == clamped


def test_the_reward_of_risky_path_depends_on_the_state_of_the_step():
    """One trajectory of each kind by hand, at T = 5."""
    totals = {}
    for path in oracles.paths(problem_of(risky_path(5))):
        totals.setdefault(path.states, path.total)
    assert totals[0, 1, 2, 2, 2, 2] == 3.0
    assert totals[0, 1, 1, 1, 2, 2] == 1.0
    assert totals[0, 2, 2, 2, 2, 2] == 4.0
    assert totals[0, 3, 3, 3, 3, 3] == -400.0
    assert totals[0, 1, 1, 1, 1, 1] == 0.0


@pytest.mark.parametrize(("optimism", "objective", "earned"), [(0.0, -68.9039, -49.8002), (1.0, -29.8087, -486.2090)])
def test_slippery_cliff(optimism, objective, earned):
    """The true return agrees with an evaluation that shares no code."""
    mdp = slippery_cliff()
    posterior = infer(TabularModel(mdp), optimism)
    assert f"{posterior.objective:.4f}" == f"{objective:.4f}"
    assert f"{oracles.true_return(problem_of(mdp), posterior.policy.numpy()):.4f}" == f"{earned:.4f}"


@pytest.mark.parametrize(
    ("mdp", "best"),
    [
        (frozen_lake(), "0.7441902878"),
        (frozen_lake("8x8"), "0.9132201502"),
        (slippery_cliff_twin(), "-13.0000000000"),
    ],
    ids=["4x4", "8x8", "cliff"],
)
def test_hard_optimum(mdp, best):
    found = infer(TabularModel(mdp, 0.0), 0.0)
    assert f"{found.value:.10f}" == best
    assert f"{oracles.best_return(problem_of(mdp, 0.0)):.10f}" == best


def test_frozen_lake_converges_to_its_infinite_horizon():
    assert infer(TabularModel(frozen_lake(horizon=2000), 0.0), 0.0).value == pytest.approx(14 / 17, abs=1e-9)


def test_frozen_lake_refuses_other_sizes():
    with pytest.raises(InvalidArgument, match="`size` must be 4x4 or 8x8, but is '5x5'"):
        frozen_lake("5x5")


# The twins


def test_the_twins_of_small_problems():
    assert prefers(restaurant_twin(), 1.0).tolist() == [0.5, 0.5]
    assert infer(TabularModel(lottery_twin(), 0.0), 0.0).value == 3.0
    assert infer(TabularModel(lottery_twin()), 1.0).q[0, 0].tolist() == [-1.0, 3.0]
    arrives = risky_path_twin().successor[0, 1]
    assert arrives.tolist() == [2], "of two equally likely outcomes the one listed first: the goal"


@pytest.mark.parametrize(
    ("slippery", "twin", "firm"),
    [
        (slippery_cliff(), slippery_cliff_twin(), ("CliffWalking-v1", {})),
        (frozen_lake(), frozen_lake_twin(), ("FrozenLake-v1", {"is_slippery": False})),
        (frozen_lake("8x8"), frozen_lake_twin("8x8"), ("FrozenLake8x8-v1", {"is_slippery": False})),
    ],
    ids=["cliff", "4x4", "8x8"],
)
def test_the_twin_of_a_grid_is_the_deterministic_one_of_gymnasium(slippery, twin, firm):
    """It agrees with Gymnasium's, and with the intended outcome, listed second of three, of the slippery one."""
    assert same_tables(twin, TabularMDP.from_gymnasium(gymnasium.make(firm[0], **firm[1]), slippery.horizon))
    middle = (slippery.probability[..., 2:] > 0).long()  # the added state has one outcome, listed first
    assert torch.equal(slippery.successor.gather(-1, middle), twin.successor)
    assert torch.equal(slippery.reward.gather(-1, middle), twin.reward)
    free, firm_free = (infer(TabularModel(each, 0.3), 1.0) for each in (slippery, twin))
    assert free.log_evidence == pytest.approx(firm_free.log_evidence, abs=1e-10), "the optimist walks as on firm ground"


def test_where_the_general_twin_of_a_grid_differs():
    """Two slips with the same end are one event: between two holes, and inside the cliff, in any precision."""
    for slippery, twin, cells in (
        (frozen_lake(), frozen_lake_twin(), {"(1, 2)"}),
        (frozen_lake("8x8"), frozen_lake_twin("8x8"), {"(3, 3)", "(6, 5)"}),
        (slippery_cliff(), slippery_cliff_twin(), {f"(3, {column})" for column in range(2, 10)}),
    ):
        general = deterministic_twin(slippery)
        assert torch.equal(deterministic_twin(slippery.to(dtype=torch.float32)).successor, general.successor)
        differs = ((general.successor != twin.successor) | (general.reward != twin.reward)).any(-1).any(-1)
        assert {slippery.state_name(int(s)) for s in differs.nonzero()} == cells


def test_the_general_twin_pools_equal_outcomes_and_takes_the_middle_of_ties():
    def one_row(probability, successor, reward):
        states = max(successor) + 1
        rest = [[1.0, *[0.0] * (len(probability) - 1)]]
        mdp = TabularMDP(
            initial=np.full(states, 1.0 / states),
            probability=[[probability], *[rest] * (states - 1)],
            successor=[[successor], *[[[s] * len(probability)] for s in range(1, states)]],
            reward=[[reward], *[[[0.0] * len(probability)]] * (states - 1)],
            horizon=2,
            discount=0.9,
        )
        twin = deterministic_twin(mdp)
        assert twin.initial.tolist() == np.eye(states)[(states - 1) // 2].tolist()
        assert twin.discount == 0.9
        return int(twin.successor[0, 0, 0]), float(twin.reward[0, 0, 0])

    assert one_row([0.4, 0.3, 0.3], [0, 1, 1], [1.0, 2.0, 2.0]) == (1, 2.0), "0.6 in two parts beats 0.4"
    assert one_row([0.4, 0.3, 0.3], [0, 1, 1], [1.0, 2.0, 3.0]) == (0, 1.0), "another reward is another event"
    assert one_row([0.2, 0.4, 0.4], [0, 1, 2], [0.0, 5.0, 6.0]) == (1, 5.0), "of two the earlier"
    third = 1 / 3
    assert one_row([third + 1e-16, third, third], [2, 1, 0], [0.0, 5.0, 6.0]) == (1, 5.0), "of three the middle"
    assert one_row([0.0, 0.5, 0.5], [0, 1, 2], [9.0, 5.0, 6.0]) == (1, 5.0), "impossible ones do not count"


@laws
@given(problems())
def test_the_general_twin_keeps_a_likeliest_outcome_of_every_row(problem):
    twin = deterministic_twin(mdp_of(problem))
    assert twin.num_outcomes == 1
    assert problem.initial[int(twin.initial.argmax())] == pytest.approx(problem.initial.max())
    for s in range(problem.ended):
        for a in range(problem.probability.shape[1]):
            events = {}
            for _, p, n, r in problem.outcomes(s, a):
                events[n, r] = events.get((n, r), 0.0) + p
            kept = int(twin.successor[s, a, 0]), float(twin.reward[s, a, 0])
            assert events[kept] == pytest.approx(max(events.values()))


# Factored dynamics


@pytest.mark.parametrize(
    ("own", "wind", "earned"), [(0.0, 0.0, -8.91), (1.0, 0.0, -9.07), (0.0, 1.0, -16.17), (1.0, 1.0, -16.30)]
)
def test_on_the_windy_bridge_optimism_about_the_wind_is_costly(own, wind, earned):
    model = TabularModel(windy_bridge())
    found = infer(model, Optimism({"own": own, "wind": wind}, 0.0))
    assert evaluate(model, found).true_return == pytest.approx(earned, abs=5e-3)
    low, high = infer(model, 0.0).objective, infer(model, Optimism(1.0, 0.0)).objective
    assert own == wind or low + 0.1 < found.objective < high - 0.1
