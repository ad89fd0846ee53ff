"""Value iteration: the certificate is a bound, all methods and forms agree, and it is the limit of `infer`."""

import dataclasses
import itertools
import signal

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles_infinite import fixed_point, policy_iteration
from problems import endless, random_mdp
from strategies import laws, mdp_of, optimisms, problems

from pgm_control import (
    GainStatus,
    InvalidArgument,
    InvalidCheckpoint,
    Optimism,
    Risk,
    TabularMDP,
    TabularModel,
    ValueStatus,
    average_reward,
    infer,
    value_iteration,
)
from pgm_control.inference.infinite_horizon.problem import InfiniteHorizonProblem

METHODS = ["value_iteration", "gauss_seidel", "modified_policy_iteration", "anderson", "auto"]
methods = pytest.mark.parametrize("method", METHODS)
discounts = st.sampled_from([0.3, 0.9])


def garnet(seed, states=60, actions=3, outcomes=4, discount=0.95, local=0):
    """Random sparse dynamics; with `local`, successors are at most that many states away, and mixing is slow."""
    rng = np.random.default_rng(seed)
    shape = (states, actions, outcomes)
    if local:
        successor = (np.arange(states)[:, None, None] + rng.integers(-local, local + 1, shape)) % states
    else:
        successor = rng.integers(states, size=shape)
    reward = rng.normal(size=shape)
    probability = rng.dirichlet(np.ones(outcomes), shape[:2])
    return TabularMDP(np.full(states, 1 / states), probability, successor, reward, 1, discount)


def arrays(mdp):
    return mdp.probability.numpy(), mdp.successor.numpy(), mdp.reward.numpy()


def distance(v, exact):
    """The largest difference; it is 0 between two entries of −inf, and inf if only one is −inf."""
    v, exact = np.asarray(v, dtype=np.longdouble), np.asarray(exact)
    with np.errstate(invalid="ignore"):
        return float(np.where(v == exact, 0, np.abs(v - exact)).max())


@laws
@given(problems(), optimisms, discounts, st.sampled_from(METHODS), st.sampled_from(["span", "sup_norm"]))
def test_the_certificate_bounds_the_distance_to_the_fixed_point(problem, beta, discount, method, stopping):
    """For any tolerance and method, with impossible and forbidden outcomes, masked actions and dead ends."""
    tables = (problem.probability, problem.successor, problem.reward, problem.prior)
    q, v = fixed_point(*tables, problem.temperature, beta, discount)
    for tolerance in (1e-1, 1e-8):
        model = endless(mdp_of(problem), problem.temperature, discount, problem.prior)
        found = value_iteration(model, beta, tolerance, method=method, stopping=stopping)
        assert found.status is ValueStatus.converged
        assert found.error_bound <= tolerance
        assert distance(found.v, v) <= found.error_bound + 1e-12
        allowed = problem.prior > 0
        assert distance(found.q.numpy()[allowed], q[allowed]) <= found.error_bound + 1e-12
        assert not found.policy.isnan().any()
        torch.testing.assert_close(found.policy.sum(-1), torch.ones(len(v), dtype=torch.float64))


@laws
@given(problems(forbidden=False), discounts, st.sampled_from(METHODS))
def test_hard_values_are_those_of_policy_iteration(problem, discount, method):
    exact = policy_iteration(problem.probability, problem.successor, problem.reward, discount)
    found = value_iteration(endless(mdp_of(problem), 0.0, discount), 0.0, 1e-9, method=method)
    assert found.error_bound <= 1e-9
    assert distance(found.v, exact) <= found.error_bound + 1e-12


@pytest.mark.parametrize(("temperature", "beta"), [(0.0, 0.0), (0.4, 0.0), (0.4, 1.0), (0.4, -0.7)])
@pytest.mark.parametrize("local", [0, 2])
def test_methods_agree_on_larger_problems(temperature, beta, local):
    mdp = garnet(seed=1, states=40, discount=0.9, local=local)
    _, exact = fixed_point(*arrays(mdp), np.full((40, 3), 1 / 3), temperature, beta, 0.9, accuracy=1e-10)
    for method in METHODS:
        found = value_iteration(endless(mdp, temperature), beta, tolerance=1e-7, method=method)
        assert found.status is ValueStatus.converged
        assert distance(found.v, exact) <= found.error_bound + 1e-10


@laws
@given(problems(), optimisms, st.sampled_from([0.5, 0.9]))
def test_it_is_the_limit_of_infer(problem, beta, discount):
    """Compared with V_0 of a long horizon, where the last value has the weight γ^T."""
    steps = 60 if discount == 0.5 else 350
    mdp = mdp_of(problem).replace(horizon=steps, discount=discount, final_reward=None)
    prior = torch.as_tensor(problem.prior)
    model = TabularModel(mdp, problem.temperature, prior)
    posterior, found = infer(model, Optimism(beta, 0.0)), value_iteration(model, beta, tolerance=1e-9)
    assert distance(found.v, posterior.v[0]) <= 1e-9 + 1e-11


@laws
@given(problems(), optimisms, st.lists(st.floats(-9, 9), min_size=3, max_size=3), st.floats(-9, 9), discounts)
def test_the_operator_contracts_and_is_monotone_and_adds_constants(problem, beta, other, c, discount):
    model = endless(mdp_of(problem), problem.temperature, discount, problem.prior)
    settings_ = InfiniteHorizonProblem.of(model, beta)
    states = settings_.num_states
    u, v = torch.zeros(states, dtype=torch.float64), torch.tensor(other[:states], dtype=torch.float64)
    with settings_.bellman(1) as bellman:
        if bellman.tables.dead is not None:
            v[bellman.tables.dead] = 0.0
        out = [torch.empty_like(u) for _ in range(4)]
        for value, into in zip((u, v, v + c, torch.maximum(u, v)), out, strict=True):
            bellman.sweep(value, into)
    alive = torch.ones(states, dtype=torch.bool) if bellman.tables.dead is None else ~bellman.tables.dead
    tu, tv, shifted, above = (each[alive] for each in out)
    if not alive.any():
        return
    assert (tu - tv).abs().max() <= discount * (u - v).abs().max() + 1e-12
    torch.testing.assert_close(shifted, tv + discount * c, rtol=0, atol=1e-12 * 20)
    assert (above >= torch.maximum(tu, tv) - 1e-12).all()


@laws
@given(problems(), st.sampled_from([0.3, 0.8]))
def test_values_rise_with_optimism(problem, discount):
    model = endless(mdp_of(problem), problem.temperature, discount, problem.prior)
    values = [value_iteration(model, beta, 1e-7).v for beta in (-20.0, -1.0, 0.0, 1.0)]
    for low, high in itertools.pairwise(values):
        assert (high - low >= -2e-7)[low > -torch.inf].all()


@laws
@given(problems(), discounts)
def test_a_low_temperature_tends_to_the_hard_maximum(problem, discount):
    """The soft maximum is below the hard one by at most τ log 1/ρ per step."""
    mdp, temperature = mdp_of(problem), 1e-7
    hard, soft = (
        value_iteration(endless(mdp, tau, discount, problem.prior), 0.0, 1e-10).v for tau in (0.0, temperature)
    )
    least = problem.prior[problem.prior > 0].min()
    assert ((soft == hard) | ((hard - soft) >= -2e-10)).all()
    assert distance(soft, hard) <= temperature * np.log(1 / least) / (1 - discount) + 2e-10


def test_on_mixing_problems_span_needs_few_sweeps_and_sup_norm_many():
    model = endless(garnet(seed=3, states=500, discount=0.99))
    span = value_iteration(model, 0.0, method="value_iteration")
    sup_norm = value_iteration(model, 0.0, method="value_iteration", stopping="sup_norm")
    assert span.num_sweeps < 50
    assert sup_norm.num_sweeps > 1000
    assert distance(span.v, sup_norm.v) <= span.error_bound + sup_norm.error_bound


def test_anderson_saves_sweeps_if_mixing_is_slow():
    model = endless(garnet(seed=2, states=300, discount=0.99, local=3), 0.3)
    plain = value_iteration(model, 0.0, method="value_iteration")
    mixed = value_iteration(model, 0.0, method="anderson")
    assert mixed.num_sweeps < plain.num_sweeps / 3
    assert distance(plain.v, mixed.v) <= plain.error_bound + mixed.error_bound


def chain_of_places(states, discount):
    """Two moves back and two forth that slip, and a reward at the far end only: values travel state by state."""
    moves = np.array([[-1, 0, 1], [-2, -1, 0], [1, 0, -1], [2, 1, 0]])
    successor = np.clip(np.arange(states)[:, None, None] + moves, 0, states - 1)
    probability = np.broadcast_to([0.8, 0.1, 0.1], successor.shape)
    reward = np.zeros(successor.shape)
    reward[-1] = 1.0
    return TabularMDP(np.eye(states)[0], probability, successor, reward, 1, discount)


@pytest.mark.parametrize("mdp", [chain_of_places(150, 0.99), garnet(seed=2, states=150, discount=0.99, local=2)])
@pytest.mark.parametrize(
    ("temperature", "beta"), [(0.0, 0.0), (0.0, Risk(2.0)), (0.0, Risk(-2.0)), (0.1, 0.0), (0.1, 1.0), (0.1, -2.0)]
)
def test_auto_needs_few_improvements_if_mixing_is_slow(mdp, temperature, beta):
    """Every iteration of "auto" is one improvement of the policy; plain sweeps are the oracle.

    For β < 0 the operator is not convex, and improvements may be plain sweeps.
    """
    plain = value_iteration(endless(mdp, temperature), beta, 1e-9, method="value_iteration")
    auto = value_iteration(endless(mdp, temperature), beta, 1e-9)
    assert auto.status is ValueStatus.converged
    assert distance(plain.v, auto.v) <= plain.error_bound + auto.error_bound
    convex = beta in (0.0, 1.0, Risk(2.0))
    assert len(auto.span_history) <= len(plain.span_history) / (4 if convex else 1)


@methods
def test_a_warm_start_converges_at_once(method):
    model = endless(garnet(seed=4), 0.3)
    first = value_iteration(model, 0.0, method=method)
    again = value_iteration(model, 0.0, method=method, initial_value=first.v)
    assert len(again.span_history) <= 2
    assert again.status is ValueStatus.converged


def test_frozen_lake_without_a_discount():
    lake = TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1", map_name="4x4"))
    for method in METHODS[:3]:
        found = value_iteration(endless(lake), 0.0, tolerance=1e-12, method=method)
        assert found.status is ValueStatus.undiscounted
        assert found.error_bound == torch.inf
        assert found.v[0].item() == pytest.approx(14 / 17, abs=1e-9)


def test_cliff_walking_without_a_discount():
    cliff = TabularMDP.from_gymnasium(gymnasium.make("CliffWalking-v1"), horizon=100)
    found = value_iteration(endless(cliff), 0.0)
    assert found.v[36].item() == pytest.approx(-13.0, abs=1e-12)


def test_values_without_a_limit_have_an_error_bound_of_inf():
    mdp = TabularMDP([1.0], [[[1.0]]], [[[0]]], [[[1.0]]], 1)
    found = value_iteration(endless(mdp), 0.0, max_sweeps=20)
    assert found.status is ValueStatus.out_of_steps
    assert found.error_bound == torch.inf


def test_distant_dead_ends_are_found():
    """A corridor that ends in a forbidden step loses all states; with β > 0 only those without an exit."""
    states = 50
    successor = np.minimum(np.arange(states) + 1, states - 1)[:, None, None].repeat(2, 2)
    successor[10, 0, 1] = 0  # a possible exit
    reward = np.zeros((states, 1, 2))
    reward[-1] = -np.inf
    mdp = TabularMDP(np.eye(states)[0], np.full((states, 1, 2), 0.5), successor, reward, 1, 0.9)
    for method in METHODS:
        assert (value_iteration(endless(mdp), 0.0, method=method).v == -torch.inf).all()
        free = value_iteration(endless(mdp, 1.0), 1.0, method=method)
        assert (free.v[:11] > -torch.inf).all()
        assert (free.v[11:] == -torch.inf).all()
        assert (value_iteration(endless(mdp, 1.0), -1.0, method=method).v == -torch.inf).all()


def test_the_successors_of_padding_are_ignored():
    """Outcomes of probability 0 lead to a dead end, which an adversarial agent (β < 0) would avoid otherwise."""
    p = np.array([[[1.0, 0.0]], [[0.5, 0.5]]])
    mdp = TabularMDP([1.0, 0.0], p, [[[0, 1]], [[1, 1]]], [[[1.0, -9.0]], [[-np.inf, 0.0]]], 1, 0.5)
    for beta in (-30.0, -1.0, 0.0, 1.0):
        assert value_iteration(endless(mdp, 1.0), beta).v[0].item() == pytest.approx(2.0, abs=1e-6)


@methods
@pytest.mark.parametrize("temperature", [0.0, 1e-7, 1.0])
def test_masked_actions_do_not_count(method, temperature):
    mdp = TabularMDP([1.0], [[[1.0], [1.0]]], [[[0], [0]]], [[[1.0], [5.0]]], 1, 0.5)
    found = value_iteration(endless(mdp, temperature, prior=np.array([[1.0, 0.0]])), 0.0, method=method)
    assert found.v.item() == pytest.approx(2.0, abs=1e-6)
    assert found.policy.tolist() == [[1.0, 0.0]]
    assert found.q[0, 1] == -torch.inf


@pytest.mark.slow
def test_float32_tables_are_certified_too():
    """Rows that sum to one only to float32 precision do not prevent convergence."""
    mdp = garnet(seed=5, states=200, discount=0.99).to(dtype=torch.float32)
    p, r = mdp.probability.double().numpy(), mdp.reward.double().numpy()
    for method in METHODS:
        found = value_iteration(endless(mdp), 0.0, method=method)
        assert found.status is ValueStatus.converged
        assert found.num_sweeps < 200 or method == "gauss_seidel"  # slow at shifting all values together
        assert distance(found.v, policy_iteration(p, mdp.successor.numpy(), r, 0.99)) <= found.error_bound + 1e-10


@methods
@pytest.mark.parametrize("temperature", [0.0, 0.3])
def test_a_resumed_run_equals_an_uninterrupted_one(method, temperature, tmp_path):
    model = endless(garnet(seed=6, states=40, discount=0.9, local=3), temperature)
    whole = value_iteration(model, 0.0, method=method)
    part = value_iteration(model, 0.0, method=method, max_sweeps=17, checkpoint=tmp_path / "part")
    assert part.status is ValueStatus.out_of_steps
    part.save(tmp_path / "saved")
    for resume in (part, tmp_path / "part", str(tmp_path / "saved")):
        rest = value_iteration(model, 0.0, method=method, resume=resume)
        assert torch.equal(rest.v, whole.v)
        assert torch.equal(rest.policy, whole.policy)
        assert torch.equal(rest.span_history, whole.span_history)
        assert (rest.error_bound, rest.num_sweeps) == (whole.error_bound, whole.num_sweeps)
    with pytest.raises(InvalidCheckpoint, match="its temperature was"):
        value_iteration(TabularModel(model.mdp, temperature + 1), 0.0, method=method, resume=part)
    with pytest.raises(InvalidCheckpoint, match="its problem was"):
        value_iteration(endless(random_mdp(1), temperature, 0.9), 0.0, method=method, resume=tmp_path / "part")


def test_invalid_checkpoints_are_refused(tmp_path):
    model = endless(random_mdp(1, discount=0.9))
    with pytest.raises(InvalidCheckpoint, match="no checkpoint"):
        value_iteration(model, 0.0, resume=tmp_path / "nothing")
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(InvalidCheckpoint, match="is not a whole checkpoint"):
        value_iteration(model, 0.0, resume=tmp_path / "junk")


def test_ctrl_c_keeps_the_last_iterate():
    model = endless(garnet(seed=7, discount=0.99))
    whole = value_iteration(model, 0.0, method="value_iteration")

    def press(step, metrics):
        if step == 5:
            signal.raise_signal(signal.SIGINT)

    part = value_iteration(model, 0.0, method="value_iteration", progress=press)
    assert part.status is ValueStatus.interrupted
    assert len(part.span_history) == 5
    assert np.isfinite(part.error_bound)
    shown = []
    rest = value_iteration(
        model, 0.0, method="value_iteration", resume=part, progress=lambda step, metrics: shown.append(step)
    )
    assert torch.equal(rest.v, whole.v)
    assert shown == list(range(6, len(whole.span_history) + 1))


def test_progress_sees_every_iteration():
    seen = []
    found = value_iteration(
        endless(garnet(seed=8)),
        0.0,
        method="value_iteration",
        progress=lambda step, metrics: seen.append((step, metrics["span"])),
    )
    assert [span for _, span in seen] == found.span_history.tolist()


def test_too_large_rewards_are_a_status_and_not_a_nan():
    mdp = TabularMDP([1.0], [[[0.5, 0.5]]], [[[0, 0]]], [[[1e308, 1.2e308]]], 1, 0.99)
    found = value_iteration(endless(mdp), 0.0, max_sweeps=500, stopping="sup_norm", tolerance=1.0)
    assert found.status is ValueStatus.not_finite
    assert found.v.tolist() == [0.0]
    assert found.policy.tolist() == [[1.0]]


def test_a_tolerance_below_rounding_is_a_status():
    mdp = random_mdp(1, discount=0.99)
    found = value_iteration(endless(mdp), 0.0, tolerance=1e-15)
    assert found.status is ValueStatus.out_of_digits
    assert found.error_bound < 1e-9
    assert "error at most" in repr(found)


def test_an_action_prior_equal_in_all_states_is_one_row():
    """One row saves memory in huge problems; a uniform prior of any dtype is uniform in float64."""
    for mdp in (garnet(1), garnet(1).to(dtype=torch.float32)):
        model = TabularModel(mdp)
        assert model.action_prior.untyped_storage().nbytes() == model.action_prior.element_size()
        assert InfiniteHorizonProblem.of(model, 0.0).prior.tolist() == [[1 / 3] * 3]
    row = np.array([0.5, 0.3, 0.2])
    problem = InfiniteHorizonProblem.of(TabularModel(garnet(1), 1.0, np.tile(row, (60, 1))), 0.0)
    assert problem.prior.shape == (1, 3)
    other = dataclasses.replace(problem, prior=problem.prior.repeat(60, 1))
    v = torch.randn(60, dtype=torch.float64)
    found = []
    for each in (problem, other):
        with each.bellman(1) as bellman:
            bellman.sweep(v, out := torch.empty_like(v))
        found.append(out)
    assert torch.equal(*found)


def test_a_result_has_its_model():
    model = endless(random_mdp(1, discount=0.9), 0.5)
    found = value_iteration(model, 0.3, method="anderson")
    assert found.model is model
    assert (found.optimism, found.method) == (Optimism(0.3, 0.3), "anderson")


@pytest.mark.wrong_types
def test_an_mdp_instead_of_a_model_is_refused():
    with pytest.raises(InvalidArgument, match=r"`model` must be a tabular model, such as TabularModel\(mdp, temp"):
        InfiniteHorizonProblem.of(random_mdp(1), 0.0)  # pyright: ignore[reportArgumentType]


def test_arguments_are_checked():
    model = endless(random_mdp(1, discount=0.9))
    refused = {
        "`optimism` must be 0 or a Risk in every block when the model's temperature is 0": {"optimism": 1.0},
        "`optimism` of survival": {"model": TabularModel(model.mdp), "optimism": Optimism(1.0, 1.0, 1.0)},
        "`tolerance` must be": {"tolerance": 0.0},
        "`num_threads` must be": {"num_threads": 0},
        "`max_sweeps` must be": {"max_sweeps": 0},
        "`initial_value` must hold": {"initial_value": [1.0]},
    }
    for message, arguments in refused.items():
        with pytest.raises(InvalidArgument, match=message):
            value_iteration(**{"model": model, "optimism": 0.0, **arguments})


@pytest.mark.parametrize("optimism", [0.0, 1.0])
def test_the_gain_is_minus_infinity_at_once_if_everything_is_forbidden(optimism):
    mdp = random_mdp(1)
    model = TabularModel(mdp.replace(reward=torch.full_like(mdp.reward, -torch.inf)))
    found = average_reward(model, optimism)
    assert (found.gain, found.num_sweeps) == (-torch.inf, 1)
    assert found.status is GainStatus.converged


@pytest.mark.parametrize("table", ["reward", "probability"])
def test_a_table_that_was_changed_in_place_is_read_again(table):
    mdp = random_mdp(5, discount=0.9)
    model = TabularModel(mdp, 0.5)
    before = value_iteration(model, 0.0).v
    assert torch.equal(value_iteration(model, 0.0).v, before)
    changed = getattr(mdp, table).roll(1, 0)
    expected = value_iteration(TabularModel(mdp.replace(**{table: changed}), 0.5), 0.0).v
    with torch.no_grad():
        getattr(mdp, table).copy_(changed)
    assert torch.equal(value_iteration(model, 0.0).v, expected)
    assert not torch.equal(before, expected)
