"""Posteriors over rewards, optimism and temperature, against sums over grids; and who was watched."""

import functools
import math

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from problems import random_mdp
from pyro import poutine
from test_inverse import corridor, problem, seen

from pgm_control import TabularMDP, TabularModel
from pgm_control.inverse_rl import (
    BoltzmannDemonstrator,
    ClampedDemonstrator,
    Demonstrations,
    DialDemonstrator,
    FreeDemonstrator,
    LinearReward,
    RewardModel,
    TabularReward,
    compare_demonstrators,
    identification,
    inverse,
    reward_posterior,
)
from pgm_control.inverse_rl.laplace import Coordinates
from pgm_control.inverse_rl.reward_function import RewardFunction

pytestmark = pytest.mark.slow

WHO = {
    "clamped": ClampedDemonstrator(),
    "free": FreeDemonstrator(),
    "fearful": DialDemonstrator(-0.7),
    "boltzmann": BoltzmannDemonstrator(),
}


def drawn(model, who, n, seed=0):
    """Demonstrations of a demonstrator, in the dice that are its own."""
    mdp, generator = model.mdp, torch.Generator().manual_seed(seed)
    behaviour = who.behaviour(model, mdp.reward, torch.zeros_like(mdp.initial), model.temperature)
    policy, dynamics = behaviour.log_policy.exp(), behaviour.log_dynamics.exp()
    states, actions = [torch.multinomial(mdp.initial, n, True, generator=generator)], []
    for t in range(mdp.horizon):
        s = states[-1]
        a = torch.multinomial(policy[t, s], 1, generator=generator)[:, 0]
        k = torch.multinomial(dynamics[t, s, a], 1, generator=generator)[:, 0]
        actions.append(a)
        states.append(mdp.successor[s, a, k].long())
    return Demonstrations.from_trajectories(mdp, torch.stack(states, 1).numpy(), torch.stack(actions, 1).numpy())


def with_reward(mdp, weight):
    """The problem with a reward of states."""
    reward = torch.as_tensor(weight).to(mdp.reward)[:, None, None].expand_as(mdp.reward).contiguous()
    return TabularMDP(mdp.initial, mdp.probability, mdp.successor, reward, mdp.horizon)


def known(mdp):
    """The reward of the problem, with nothing to be learned."""
    reward = TabularReward(mdp, "outcome").requires_grad_(False)
    reward.weight.copy_(mdp.reward)
    return reward


FEATURE = torch.tensor([[1.0], [-0.5], [0.2]], dtype=torch.float64)


MILD = DialDemonstrator(0.25)


def watched(n=150):
    """A problem, and demonstrations of one who hopes a little."""
    model = problem(1, horizon=4)
    mdp = with_reward(model.mdp, 1.5 * FEATURE[:, 0])
    return model, drawn(TabularModel(mdp, 0.7, model.action_prior), MILD, n)


def log_joint(model, demonstrations, psi, beta, tau, prior):
    """Of one weight of `FEATURE`, written out; β ~ N(.2, .6) and log τ ~ N(−.3, .2)."""
    reward = (FEATURE @ psi.reshape(1))[:, None, None].expand_as(model.mdp.reward)
    total = DialDemonstrator(beta).log_likelihood(model, demonstrations, reward, torch.zeros(3).double(), tau)
    total = total + float(torch.distributions.Normal(0.0, prior).log_prob(psi))
    if beta != 0.25:
        total = total + float(torch.distributions.Normal(0.2, 0.6).log_prob(torch.tensor(beta)))
    if tau != model.temperature:
        total = total + float(torch.distributions.LogNormal(-0.3, 0.2).log_prob(torch.tensor(tau)))
    return float(total)


def log_world(demonstrations):
    """Of the outcomes as the world has them."""
    mdp, total = demonstrations.mdp, 0.0
    for s, a, to, weight in zip(*(each.tolist() for each in demonstrations.moves[1:]), strict=True):
        total += weight * math.log(float(mdp.probability[s, a][mdp.successor[s, a] == to].sum()))
    return total


def by_quadrature(axes, density):
    """Log-evidence, means and deviations by sums over a grid that is fine enough."""
    grid = np.meshgrid(*axes, indexing="ij")
    height = np.array([density(*point) for point in zip(*(each.ravel() for each in grid), strict=True)])
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    weight = np.exp(height - height.max())
    mean = [float((weight * each.ravel()).sum() / weight.sum()) for each in grid]
    deviation = [
        math.sqrt(float((weight * (each.ravel() - m) ** 2).sum() / weight.sum()))
        for each, m in zip(grid, mean, strict=True)
    ]
    return height.max() + math.log(weight.sum() * cell), np.array(mean), np.array(deviation)


CASES = {
    "ψ": ({}, [np.linspace(0.0, 3.0, 30)], lambda psi: (psi, 0.25, 0.7)),
    "ψ, β": (
        {"optimism": dist.Normal(0.2, 0.6)},
        [np.linspace(0.0, 3.0, 16), np.linspace(-2.5, 2.8, 22)],
        lambda psi, beta: (psi, beta, 0.7),
    ),
    "ψ, τ": (
        {"temperature": dist.LogNormal(-0.3, 0.2)},
        [np.linspace(0.0, 3.5, 25), np.linspace(0.25, 1.7, 25)],
        lambda psi, tau: (psi, 0.25, tau),
    ),
}


@functools.cache
def exact(case):
    """Log-evidence, means and deviations."""
    _, axes, at = CASES[case]
    model, demonstrations = watched()

    def density(*point):
        psi, beta, tau = at(*point)
        return log_joint(model, demonstrations, torch.tensor(psi), float(beta), float(tau), 2.0)

    log_evidence, mean, deviation = by_quadrature(axes, density)
    return log_evidence + log_world(demonstrations), mean, deviation


@pytest.mark.parametrize("case", CASES)
def test_laplace_and_its_evidence_are_those_of_sums_over_a_grid(case):
    unknown, (model, demonstrations) = CASES[case][0], watched()
    log_evidence, mean, deviation = exact(case)
    found = reward_posterior(
        model, demonstrations, LinearReward(model.mdp, FEATURE), MILD, prior=2.0, samples=200, **unknown
    )
    assert found.log_evidence == pytest.approx(log_evidence, abs=0.08)
    assert (np.abs(found.mean.numpy() - mean) < 0.35 * deviation).all()
    np.testing.assert_allclose(found.deviation, deviation, rtol=0.25)
    assert (found.effective_draws > 130).all()


@pytest.mark.statistical
def test_weights_mend_what_laplace_lacks():
    """Evidence and means within five standard errors, for the bent posterior of ψ and τ; one seed."""
    unknown, (model, demonstrations) = CASES["ψ, τ"][0], watched()
    log_evidence, mean, deviation = exact("ψ, τ")
    found = reward_posterior(
        *(model, demonstrations, LinearReward(model.mdp, FEATURE), MILD),
        **{"prior": 2.0, "samples": 100, "method": "importance", **unknown},
    )
    assert found.log_evidence == pytest.approx(log_evidence, abs=5 * 0.06)
    assert (np.abs(found.mean.numpy() - mean) < 5 * deviation / 100**0.5).all()
    assert (found.effective_draws == 100).all()


@pytest.mark.statistical
def test_nuts_draws_from_what_sums_over_a_grid_find():
    """Within five standard errors; one seed."""
    unknown, (model, demonstrations) = CASES["ψ, τ"][0], watched()
    _, mean, deviation = exact("ψ, τ")
    found = reward_posterior(
        *(model, demonstrations, LinearReward(model.mdp, FEATURE), MILD),
        **{"prior": 2.0, "samples": 120, "warmup": 30, "chains": 2, "method": "nuts", **unknown},
    )
    error = deviation / found.effective_draws.sqrt().numpy()
    assert (found.effective_draws > 20).all()
    assert (np.abs(found.mean.numpy() - mean) < 5 * error).all()
    assert (np.abs(found.deviation.numpy() - deviation) < 5 * error).all()
    assert (found.r_hat < 1.15).all()


def test_the_program_says_what_laplace_climbs():
    """The log-density of a trace of the Pyro program, and the logarithm of the change of coordinates by hand."""
    model, demonstrations = watched()
    found = reward_posterior(
        *(model, demonstrations, LinearReward(model.mdp, FEATURE), MILD),
        prior=2.0,
        optimism=dist.Uniform(-1.0, 2.0),
        temperature=dist.LogNormal(0.0, 1.0),
        samples=8,
    )
    trace = poutine.trace(found.program).get_trace()
    values = {name: trace.nodes[name]["value"] for name in ("psi", "optimism", "temperature")}
    coordinates = Coordinates(found.program)
    part = (float(values["optimism"]) + 1.0) / 3.0
    jacobian = math.log(float(values["temperature"])) + math.log(3.0 * part * (1.0 - part))
    expected = float(trace.log_prob_sum()) + jacobian
    assert float(coordinates.log_density(coordinates.row(values))) == pytest.approx(expected, abs=1e-9)


def test_evidence_is_that_of_actions_and_outcomes_for_all():
    """Without dice that fall as wished, and β near 0, all demonstrators but Boltzmann's are one."""
    model, demonstrations = watched(20)
    found = compare_demonstrators(
        *(model, demonstrations, LinearReward(model.mdp, FEATURE)),
        {
            "clamped": ClampedDemonstrator(),
            "world": DialDemonstrator(0.0),
            "believed": DialDemonstrator(0.0, "believed"),
        },
        prior=2.0,
        samples=8,
    )
    torch.testing.assert_close(found.log_evidence, found.log_evidence[:1].expand(3), atol=1e-8, rtol=0)


@pytest.mark.statistical
def test_evidence_picks_the_one_who_was_watched():
    """160 demonstrations of each in two problems; counted over thirty problems in benchmarks/calibration.py."""
    right = 0
    for seed in range(2):
        weight = 2.0 * torch.randn(4, generator=torch.Generator().manual_seed(seed))
        model = TabularModel(with_reward(random_mdp(seed, 4, 3, 3, 5), weight), 0.5)
        for name, who in WHO.items():
            found = compare_demonstrators(model, drawn(model, who, 160, seed), "state", WHO, prior=2.0, samples=8)
            right += found.best == name
    assert right >= 6


@pytest.mark.statistical
def test_ranks_of_the_truth_are_uniform():
    """β from its prior, 40 data sets, ranks among 15 draws in four groups; chi-square beyond 16.3 has probability .001.

    In full, and by NUTS, in benchmarks/calibration.py."""
    mdp, prior, counts = random_mdp(4, 4, 3, 3, 5), dist.Normal(0.0, 0.7), np.zeros(4)
    model = TabularModel(with_reward(mdp, torch.tensor([2.0, -1.0, 0.5, -2.0])), 0.7)
    reward = known(model.mdp)
    for seed in range(40):
        truth = float(0.7 * torch.randn((), generator=torch.Generator().manual_seed(seed)))
        demonstrations = drawn(model, DialDemonstrator(truth), 30, seed)
        found = reward_posterior(
            *(model, demonstrations, reward, DialDemonstrator(0.0)),
            prior=1.0,
            optimism=prior,
            samples=15,
            seed=seed,
        )
        counts[int((found.optimism < truth).sum()) // 4] += 1
    assert ((counts - 10) ** 2 / 10).sum() < 16.3


def flat(found):
    """Directions known to be flat before anything was seen; the likelihood must agree."""
    known = torch.cat([found.unmet, found.luck, found.constant, found.shaping, found.inevitable])
    assert float((known @ found.information).abs().max() if len(known) else 0.0) < 1e-9
    basis = found.free_directions
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis)).double(), atol=1e-7, rtol=0)
    return {name: len(getattr(found, name)) for name in KINDS if len(getattr(found, name))}


KINDS = ("unmet", "luck", "constant", "shaping", "inevitable", "unseen")


@pytest.mark.parametrize("discount", [1.0, 0.9])
@pytest.mark.parametrize("who", [*WHO.values(), ClampedDemonstrator("matching")], ids=repr)
def test_what_is_flat_for_all_is_flat_now(who, discount):
    """A constant, always; rewards of outcomes by their mean alone where the dice are taken as they are."""
    model = problem(1, horizon=6, discount=discount)
    demonstrations = Demonstrations.from_trajectories(model.mdp, *seen(model, 60))
    minds_mean = isinstance(who, ClampedDemonstrator | BoltzmannDemonstrator)
    wanted = {
        "state": {"constant": 1},
        "state_action": {"constant": 1},
        "outcome": {"unmet": 2, **({"luck": 10} if minds_mean else {}), "constant": 1},  # outcome 0 of (0, 0) is sure
    }
    for of, expected in wanted.items():
        found = identification(inverse(model, demonstrations, of, who, prior=1.0))
        assert flat(found) == expected
        assert found.scale_trades
        assert "constant" in str(found)


def test_the_information_is_the_curvature_of_the_likelihood():
    model, demonstrations = watched()
    found = inverse(model, demonstrations, "state_action", DialDemonstrator(0.4), prior=1.0)
    function = RewardFunction(found.reward, model.mdp)

    def likelihood(psi, beta):
        reward, last = function(psi)
        return float(DialDemonstrator(beta).log_likelihood(model, demonstrations, reward, last, 0.7))

    information, psi = identification(found).information, function.start
    step, eye = 1e-3, torch.eye(6).double()
    for i in range(6):
        for j in range(6):
            signs = [(a, b) for a in (1, -1) for b in (1, -1)]
            second = sum(a * b * likelihood(psi + step * (a * eye[i] + b * eye[j]), 0.4) for a, b in signs)
            assert float(information[i, j]) == pytest.approx(-second / (4 * step**2), abs=1e-3)


def test_an_end_that_pays_nothing_fixes_the_constant():
    """To stay longer is then worth the constant; only a reward for the end itself makes up for it."""
    mdp = corridor()
    model = TabularModel(mdp, 0.5)
    demonstrations = Demonstrations.from_trajectories(mdp, [[0, 1, 2, 3]] * 3, [[1, 1, 1]] * 3)
    of_cells = identification(inverse(model, demonstrations, np.eye(4)[:, :3], prior=1.0))
    assert flat(of_cells) == {}
    of_all = identification(inverse(model, demonstrations, "state", prior=1.0))
    assert flat(of_all) == {"constant": 1}
    torch.testing.assert_close(of_all.constant.abs(), torch.full((1, 4), 0.5).double())


def layers():
    """From 0 to 1 or 2, from there to 3 or 4, from there to 5, the end, by chance at times the other way."""
    probability = np.zeros((6, 2, 6))
    probability[0, :, 1:3] = probability[1, :, 3:5] = probability[2, :, 3:5] = [[0.7, 0.3], [0.2, 0.8]]
    probability[3:, :, 5] = 1.0
    return TabularMDP.from_dense(np.eye(6)[0], probability, np.zeros((6, 2)), 4)


@pytest.mark.parametrize("who", WHO.values(), ids=repr)
def test_potentials_that_vanish_at_the_end_shape(who):
    """Rewards of states and actions: φ of the five that are no end. A reward of 0 there leaves it out of the span.

    For who minds the outcome, γφ(s') − φ(s) is no reward of state and action, unless φ is alike for those that may
    come: one φ for each layer, 0, {1, 2}, {3, 4}."""
    mdp = layers()
    model = TabularModel(mdp, 0.7)
    demonstrations = drawn(model, who, 30)
    minds_mean = isinstance(who, ClampedDemonstrator | BoltzmannDemonstrator)
    found = identification(inverse(model, demonstrations, "state_action", who, prior=1.0))
    assert flat(found) == {"constant": 1, "shaping": 5 if minds_mean else 3}
    features = torch.eye(12).reshape(6, 2, 12)[..., :10]
    of_ways = identification(inverse(model, demonstrations, features, who, prior=1.0))
    assert flat(of_ways) == {"shaping": 5 if minds_mean else 3}
    potential = torch.tensor([0.3, -1.0, 0.4, 0.9, -0.2, 0.0]).double()
    if not minds_mean:
        potential = potential[[0, 1, 1, 3, 3, 5]]
    shape = ((mdp.probability * potential[mdp.successor]).sum(-1) - potential[:, None])[:5].reshape(-1)
    torch.testing.assert_close(shape @ of_ways.shaping.T @ of_ways.shaping, shape)


@pytest.mark.parametrize("who", [ClampedDemonstrator(forever=True), FreeDemonstrator(forever=True)], ids=repr)
def test_without_a_last_state_every_potential_shapes(who):
    """Of three states: a constant and two more. Who minds the outcome knows of none but the constant."""
    model = problem(1, horizon=6, discount=0.9)
    demonstrations = Demonstrations.from_trajectories(model.mdp, *seen(model, 60))
    found = identification(inverse(model, demonstrations, "state_action", who, prior=1.0))
    assert flat(found) == {"constant": 1, **({"shaping": 2} if isinstance(who, ClampedDemonstrator) else {})}
    posterior = reward_posterior(model, demonstrations, "state_action", who, prior=1.0, samples=8)
    assert flat(posterior.identification) == flat(found)


def test_what_comes_whatever_is_done_is_not_told():
    """Three doors in a row, each passed by either action: rewards of places are paid for sure."""
    probability = np.zeros((4, 2, 4))
    probability[[0, 1, 2], :, [1, 2, 3]] = probability[3, :, 3] = 1.0
    mdp = TabularMDP.from_dense(np.eye(4)[0], probability, np.zeros((4, 2)), 4)
    model = TabularModel(mdp, 0.7)
    demonstrations = drawn(model, ClampedDemonstrator(), 5)
    found = identification(inverse(model, demonstrations, "state", prior=1.0))
    assert sum(flat(found).values()) == 4
    assert "0 of 4 directions" in str(found)


def test_what_was_not_met_is_not_told_by_these():
    """One short recording says nothing of the actions in cells that it did not visit, at a horizon of 1."""
    mdp = TabularMDP.from_dense(np.full(3, 1 / 3), np.full((3, 2, 3), 1 / 3), np.zeros((3, 2)), 1)
    model = TabularModel(mdp, 0.7)
    found = identification(
        inverse(model, Demonstrations.from_trajectories(mdp, [[0, 1]], [[1]]), "state_action", prior=1.0)
    )
    kinds = flat(found)
    assert kinds.pop("unseen") == 2
    assert sum(kinds.values()) == 3  # a constant for each state
    assert "These demonstrations do not tell" in str(found)


def test_temperature_trades_only_against_a_scale_that_there_is():
    """A reward whose unit is fixed by a part that is not learned tells the temperature."""
    model, demonstrations = watched()

    class Offset(RewardModel):
        """One known number and one to be learned."""

        def __init__(self):
            super().__init__()
            self.bonus = torch.nn.Parameter(torch.tensor(0.3).double())

        def forward(self):
            fixed = torch.tensor([1.0, 0.0, 0.0]).double()
            return (fixed + self.bonus * torch.tensor([0.0, 0.0, 1.0]))[:, None, None].expand(3, 2, 3)

    assert not identification(inverse(model, demonstrations, Offset(), prior=1.0)).scale_trades
    assert identification(inverse(model, demonstrations, "state", prior=1.0)).scale_trades


def test_optimism_is_told_by_dice_alone():
    """Without dice the deviation of β is infinite, and its posterior is its prior; with dice it is that of Laplace."""
    sure = np.zeros((3, 2, 3))
    sure[[0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1], [1, 2, 2, 0, 0, 1]] = 1.0
    mdp = TabularMDP.from_dense(np.eye(3)[0], sure, np.array([[1.0, 0], [0, 0.5], [0, -1]]), 4)
    model = TabularModel(mdp, 0.7)
    demonstrations = drawn(model, MILD, 50)
    asked = {"prior": 1.0, "optimism": dist.Normal(0.2, 0.6), "samples": 400}
    found = reward_posterior(model, demonstrations, known(mdp), MILD, **asked)
    assert found.identification.optimism_deviation == math.inf
    assert found.deviation[0] == pytest.approx(0.6, rel=0.15)
    assert "do not tell the optimism" in str(found)
    model, demonstrations = watched()
    found = reward_posterior(model, demonstrations, known(model.mdp), MILD, **{**asked, "optimism": dist.Normal(0, 50)})
    assert found.deviation[0] == pytest.approx(found.identification.optimism_deviation, rel=0.2)
    assert found.probability(lambda x: x.optimism > 0) == pytest.approx((found.optimism > 0).double().mean())


def test_seeds_give_the_same_draws_and_leave_other_generators_alone():
    model, demonstrations = watched(20)
    before = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    asked = {"prior": 1.0, "samples": 16, "warmup": 4, "chains": 2}
    steps = []
    for method in ("laplace", "importance", "nuts"):
        one, other, another = (
            reward_posterior(
                *(model, demonstrations),
                **{**asked, "method": method, "seed": seed, "progress": lambda step, metrics: steps.append(step)},
            )
            for seed in (0, 0, 1)
        )
        assert torch.equal(one.psi, other.psi)
        assert not torch.equal(one.psi, another.psi)
        assert one.samples["psi"].shape == ((2, 8, 3) if method == "nuts" else (1, 16, 3))
    assert steps[:24] == list(range(1, 25))
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_a_reward_that_is_learned_stays_as_it_is():
    model, demonstrations = watched(20)
    reward = TabularReward(model.mdp)
    found = reward_posterior(model, demonstrations, reward, prior=1.0, samples=8)
    assert not reward.weight.any()
    assert found.names == ("ψ[0]", "ψ[1]", "ψ[2]")
    assert "constant" in str(found)
    assert "<table>" in found._repr_html_()
    low, high = found.interval(0.5).T
    assert (low < high).all()


def test_draws_go_to_arviz():
    model, demonstrations = watched(20)
    found = reward_posterior(model, demonstrations, "state", MILD, prior=1.0, optimism=dist.Normal(0.0, 1.0), samples=8)
    tree = found.to_arviz()
    assert tree["posterior"]["psi"].dims == ("chain", "draw", "parameter")
    np.testing.assert_array_equal(tree["posterior"]["optimism"], found.samples["optimism"])


def test_bad_arguments_are_refused():
    model, demonstrations = watched(5)
    for kwargs, message in [
        ({"prior": 0.0}, "`prior` must be"),
        ({"demonstrator": ClampedDemonstrator("matching")}, "must have a likelihood"),
        ({"optimism": dist.Normal(0.0, 1.0)}, "must have a dial"),
        ({"optimism": 0.3}, "`optimism` must be a distribution of Pyro"),
        ({"optimism": torch.distributions.Normal(0.0, 1.0)}, "`optimism` must be a distribution of Pyro"),
        ({"temperature": dist.Normal(1.0, 1.0)}, "positive numbers"),
        ({"temperature": dist.Poisson(1.0)}, "one real number"),
        ({"reward": known(model.mdp)}, "nothing is"),
        ({"samples": 0}, "`samples` must be"),
        ({"method": "vi"}, "`method` must be"),
    ]:
        with pytest.raises(ValueError, match=message):
            reward_posterior(model, demonstrations, **{"prior": 1.0, **kwargs})
    with pytest.raises(ValueError, match="must be named"):
        compare_demonstrators(model, demonstrations, demonstrators=["clamped"], prior=1.0)
    with pytest.raises(ValueError, match="`level`"):
        reward_posterior(model, demonstrations, prior=1.0, samples=8).interval(2.0)
