"""Tests of hierarchical fits of people: posterior, identifiability, evidence, recovery and confusion."""

import math

import pyro.poutine as poutine
import pytest
import torch
from behaviour.designs import lotteries, lottery, menus
from problems import sized
from torch.distributions import HalfNormal, Normal

from pgm_control import InvalidArgument, Risk, TabularMDP, TabularModel
from pgm_control.behaviour import (
    Choices,
    PeoplePrior,
    PeopleStatus,
    behaviour_log_likelihood,
    compare_people_models,
    fit_people,
    model_confusion,
    recovery,
    simulate_people,
)
from pgm_control.behaviour.fit_people import approximated
from pgm_control.inverse_rl.laplace import second_derivatives
from pgm_control.models import lottery as ticket_or_work

PRIOR = PeoplePrior(temperature=1.0, risk=0.3)
POPULATION = {"temperature": (0.8, 0.6), "risk": (-0.1, 0.2)}


def choices(models, people=6, seed=0, repeats=1):
    rng = torch.Generator().manual_seed(seed)
    theta, log_tau = 0.2 * torch.randn(2, people, generator=rng, dtype=torch.float64)
    return simulate_people(models, Risk(theta), log_tau.exp(), num_people=people, num_repeats=repeats, seed=seed)


@pytest.fixture(scope="module")
def fitted():
    models = lotteries(12)
    data = choices(models)
    return models, data, fit_people(models, data, PRIOR, num_samples=60, num_warmup=40, num_chains=2, seed=0)


@pytest.mark.slow
def test_the_program_has_the_density_of_its_parts(fitted):
    models, data, fit = fitted
    program = fit.program
    torch.manual_seed(0)
    trace = poutine.trace(program).get_trace()
    u = trace.nodes["mean"]["value"] + trace.nodes["spread"]["value"] * trace.nodes["z"]["value"]
    tau = u[:, 0].exp()
    by_choice = behaviour_log_likelihood(models, data, Risk(u[:, 1]), tau)
    width = torch.tensor([1.0, 0.3], dtype=torch.float64)
    of_population = Normal(0.0, width).log_prob(trace.nodes["mean"]["value"]).sum()
    of_population = of_population + HalfNormal(width).log_prob(trace.nodes["spread"]["value"]).sum()
    of_people = Normal(0.0, 1.0).log_prob(trace.nodes["z"]["value"]).sum()
    total = of_population + of_people + by_choice.sum()
    assert float(trace.log_prob_sum()) == pytest.approx(float(total), abs=1e-10)


def test_coordinates_keep_the_density_and_its_curvature(fitted):
    program = fitted[2].program
    coordinates, gaussian = approximated(program)
    start = coordinates.start + 0.3 * torch.randn(len(coordinates.start), generator=torch.Generator().manual_seed(1))
    sizes = [2, 2, 12]

    def sites(point):
        values = coordinates.values(point)
        return torch.cat([values["mean"], values["spread"], values["z"].flatten()])

    slopes = torch.autograd.functional.jacobian(sites, start)
    values = dict(zip(("mean", "spread", "z"), sites(start).split(sizes), strict=True))
    values["z"] = values["z"].reshape(6, 2)
    prior = sum(program.priors[name].log_prob(value) for name, value in values.items())
    expected = prior + program.log_likelihood(values) + torch.linalg.slogdet(slopes).logabsdet
    assert float(coordinates.log_density(start)) == pytest.approx(float(expected), abs=1e-9)
    full = second_derivatives(coordinates.log_density, start)
    torch.testing.assert_close(coordinates.second_derivatives(start), full, atol=1e-8, rtol=1e-8)
    assert gaussian.gradient < 1e-4
    inner = gaussian.root[4:, 4:] @ gaussian.root[4:, 4:].T
    assert float(inner.diagonal().log().abs().max()) < 1.0  # people are nearly standard normal there


def test_a_fit_prints_the_population_and_answers_by_name(fitted):
    _, data, fit = fitted
    assert fit.names == ("temperature", "risk", "optimism")
    assert fit.people == data.people
    assert fit.draws("optimism").shape == (2, 30, 6)
    torch.testing.assert_close(fit.draws("optimism"), fit.draws("risk") * fit.draws("temperature"))
    low, high = fit.interval("risk").unbind(1)
    assert bool(((low < fit.mean("risk")) & (fit.mean("risk") < high)).all())
    text = str(fit)
    assert "θ = β/τ" in text
    assert "6 people, 72 choices, demonstrator 'dial', 60 draws by nuts" in text
    assert "All parameters are identified" in text
    assert "<table>" in fit._repr_html_()
    with pytest.raises(InvalidArgument, match="`name` must be one of temperature, risk, optimism"):
        fit.mean("lapse")
    with pytest.raises(InvalidArgument, match="`level` must be a probability"):
        fit.interval("risk", 1.0)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_draws(fitted):
    models, data, _ = fitted
    one, two = (fit_people(models, data, PRIOR, method="svi", num_samples=16, seed=3) for _ in range(2))
    assert torch.equal(one.samples["z"], two.samples["z"])
    assert one.status is PeopleStatus.complete


def test_arviz_data_hold_the_log_likelihood_of_each_choice(fitted):
    pytest.importorskip("arviz_base")
    models, data, fit = fitted
    tree = fit.to_arviz()
    found = tree["log_likelihood"]["choice"]
    assert found.dims == ("chain", "draw", "choice_index")
    expected = behaviour_log_likelihood(models, data, fit.draws("optimism")[1, 7], fit.draws("temperature")[1, 7])
    assert found.values[1, 7] == pytest.approx(expected.numpy(), abs=1e-10)
    assert tree["observed_data"]["choice"].shape == (len(data),)
    assert list(tree["posterior"]["risk"].coords["person_name"].values) == list(data.people)


def test_leave_one_out_works_where_arviz_is_installed(fitted):
    stats = pytest.importorskip("arviz_stats")
    found = stats.loo(fitted[2].to_arviz())
    assert found.elpd == pytest.approx(float(fitted[2].log_likelihood.mean((0, 1)).sum()), abs=10.0)


def test_optimism_is_refused_where_nothing_is_random():
    models = {str(i): lottery(1.0, 2.0 + i, 2.5) for i in range(3)}
    fit = fit_people(
        models, choices(models, people=4, repeats=4), PRIOR, num_samples=8, num_warmup=10, num_chains=2, seed=0
    )
    assert fit.names == ("temperature",)
    assert "No choice depends on risk. Identified: temperature." in str(fit.identification)
    assert "β" not in str(fit).splitlines()[4]
    for name in ("risk", "optimism"):
        with pytest.raises(InvalidArgument, match=f"`{name}` is not identified by these choices. No choice depends"):
            fit.mean(name)
    pytest.importorskip("arviz_base")
    assert "risk" not in fit.to_arviz()["posterior"]


def test_optimism_and_temperature_are_refused_where_one_lottery_repeats():
    models = {"only": lottery(0.5, 4.0, 1.5)}
    fit = fit_people(
        models, choices(models, people=4, repeats=8), PRIOR, num_samples=8, num_warmup=10, num_chains=2, seed=0
    )
    assert fit.names == ()
    for name in ("risk", "temperature", "optimism"):
        with pytest.raises(InvalidArgument, match=f"`{name}` is not identified.*temperature, risk apart.*Add problems"):
            fit.mean(name)


@pytest.mark.slow
def test_weights_and_temperature_are_refused_apart_if_no_reward_is_known():
    """Rewards that are all unknown only have a ratio to τ; β is identified all the same."""
    known = lotteries(10)
    models = {name: TabularModel(m.mdp.replace(reward=torch.zeros_like(m.mdp.reward))) for name, m in known.items()}
    features = {"money": {name: m.mdp.reward for name, m in known.items()}}
    prior = PeoplePrior(temperature=1.0, risk=0.3, weights={"money": 1.0})
    data = choices(known, people=5, repeats=2)
    fit = fit_people(models, data, prior, features=features, num_samples=8, num_warmup=10, num_chains=2, seed=0)
    assert set(fit.names) == {"optimism", "money / temperature"}
    for name in ("risk", "temperature", "money"):
        with pytest.raises(InvalidArgument, match="do not tell temperature, risk, money apart"):
            fit.mean(name)


@pytest.mark.slow
def test_a_reward_weight_and_a_lapse_are_found():
    models = lotteries(25)
    features = {"liking": {name: torch.tensor([[[1.0], [0.0]], [[0.0], [0.0]]]) for name in models}}  # to gamble
    weights = torch.linspace(-1.5, 1.5, 8)[:, None]
    data = simulate_people(
        models, 0.0, 0.5, 0.1, num_people=8, num_repeats=3, seed=0, features=features, weights=weights
    )
    prior = PeoplePrior(temperature=1.0, risk=0.3, lapse=0.05, weights={"liking": 1.0})
    fit = fit_people(models, data, prior, features=features, method="svi", num_samples=200, seed=0)
    assert fit.names == ("temperature", "risk", "lapse", "liking", "optimism")
    assert float(torch.corrcoef(torch.stack([fit.mean("liking"), weights[:, 0].double()]))[0, 1]) > 0.8
    assert 0.02 < float(fit.mean("lapse").mean()) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("demonstrator", ["clamped", "free", "dial", "boltzmann"])
def test_the_evidence_is_the_mean_likelihood_of_the_prior(demonstrator):
    """Two people, by plain averages: populations and people are drawn from the prior, without any approximation."""
    models = lotteries(3) | menus(2)
    data = simulate_people(models, 0.4, 0.7, num_people=2, seed=2)
    generator, number, each = torch.Generator().manual_seed(0), 4000, 50
    normal = torch.randn(2, 2, number, 1, 1, generator=generator, dtype=torch.float64)
    width = torch.tensor([1.0, 0.3], dtype=torch.float64)[:, None, None, None]
    mean, spread = width * normal[0], width * normal[1].abs()
    log_tau, theta = mean + spread * torch.randn(2, number, each, 2, generator=generator, dtype=torch.float64)
    beta = {"dial": theta * log_tau.exp(), "free": torch.ones_like(theta)}.get(demonstrator, torch.zeros_like(theta))
    totals = []
    for b, t in zip(beta.split(500), log_tau.exp().split(500), strict=True):
        by_choice = behaviour_log_likelihood(models, data, b, t, hard=demonstrator == "boltzmann")
        of_person = [by_choice[..., [p == name for p in data.person]].sum(-1) for name in data.people]
        totals.append(sum(x.logsumexp(-1) - math.log(each) for x in of_person))
    rows = torch.cat(totals)
    expected = float(rows.logsumexp(0)) - math.log(number)
    error = float(rows.softmax(0).square().sum() - 1 / number) ** 0.5
    found = compare_people_models(models, data, PRIOR, [demonstrator], seed=0)
    assert float(found.log_evidence[0]) == pytest.approx(
        expected, abs=4 * math.hypot(error, float(found.standard_error[0]))
    )
    assert error < 0.1


@pytest.mark.slow
def test_models_are_compared_and_confused():
    models = lotteries(6) | menus(6)
    found = model_confusion(models, PRIOR, POPULATION, num_people=4, num_sets=1, num_populations=10, seed=0)
    assert found.counts.sum(1).tolist() == [1] * 4
    assert found.log_evidence.shape == (4, 1, 4)
    assert str(found).splitlines()[0].split()[-4:] == list(found.names)
    assert "<table>" in found._repr_html_()
    single = compare_people_models(lotteries(6), choices(lotteries(6)), PRIOR, ["clamped", "boltzmann"], seed=0)
    assert float(single.log_evidence[0]) == pytest.approx(float(single.log_evidence[1]), abs=1e-9)
    assert single.best in single.names
    assert "clamped" in str(single)


@pytest.mark.slow
@pytest.mark.statistical
def test_people_are_recovered():
    """The numbers are those of one seed; the intervals of 60 values hold in fewer than 78 % with probability .004."""
    found = recovery(lotteries(60), PRIOR, POPULATION, num_people=20, method="svi", num_samples=400, seed=0)
    assert found.correlation("risk") > 0.8
    assert found.correlation("temperature") > 0.8
    shares = [found.coverage(name) for name in found.names]
    assert sum(shares) / 3 > 0.78
    assert "correlation" in str(found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"demonstrator": "planner"}, "`demonstrator` must be one of clamped, free, dial, boltzmann"),
        ({"method": "laplace"}, "`method` must be one of nuts, svi"),
        ({"num_chains": 1}, "`num_chains` must be a whole number, at least 2"),
        ({"prior": PeoplePrior(1.0, 0.3, weights={"w": 1.0})}, "`prior` must have a scale for each weight"),
        ({"features": {"w": {}}}, r"`features\['w'\]` must map names"),
    ],
)
def test_wrong_arguments_are_refused(fitted, arguments, message):
    models, data, _ = fitted
    given = {"prior": PRIOR, **arguments}
    with pytest.raises(InvalidArgument, match=message):
        fit_people(models, data, **given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "`temperature` must be a positive median"),
        ({"risk": -1.0}, "`risk` must be a positive scale"),
        ({"lapse": 1.0}, "`lapse` must be a median between 0 and 1"),
        ({"weights": {"risk": 1.0}}, "`weights` must have names of their own"),
        ({"weights": {"w": 0.0}}, "'w'` must be a positive scale"),
    ],
)
def test_wrong_priors_are_refused(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        PeoplePrior(**{"temperature": 1.0, "risk": 0.3, **arguments})


@pytest.mark.parametrize(
    ("population", "message"),
    [
        ({"patience": (1.0, 1.0)}, "names 'patience'"),
        pytest.param({"risk": 0.1}, "must be a pair", marks=pytest.mark.wrong_types),
        ({"risk": (0.1, 0.0)}, "must be a positive spread"),
        ({"temperature": (-1.0, 0.5)}, "must be a positive median"),
    ],
)
def test_wrong_populations_are_refused(population, message):
    with pytest.raises(InvalidArgument, match=message):
        recovery(lotteries(3), PRIOR, population, num_people=3)


def test_infinite_rewards_are_refused():
    mdp = TabularMDP([1.0], [[[0.5, 0.5], [1.0, 0.0]]], [[[0, 0]] * 2], [[[1.0, -torch.inf], [0.0, 0.0]]], 1)
    data = Choices.from_table({"person": [1], "trial": [1], "problem": ["x"], "state": [0], "action": [1]})
    with pytest.raises(InvalidArgument, match=r"`models\['x'\]` must have finite rewards"):
        behaviour_log_likelihood({"x": TabularModel(mdp)}, data, 0.0, 1.0)


@pytest.mark.slow
def test_the_evidence_of_one_sided_choices():
    """One always works, the other always gambles: brute Monte Carlo from the prior gives −2.50 and −3.57 nats."""
    model = TabularModel(ticket_or_work(0.3, 16.0, price=1.0, wage=2.0))
    rows = [
        (name, str(t), "jackpot", "choosing", action)
        for name, action in (("a", "work"), ("b", "buy a ticket"))
        for t in range(2)
    ]
    data = Choices(*zip(*rows, strict=True))
    prior = PeoplePrior(temperature=1.0, risk=0.3)
    for seed in range(sized(3, 1)):
        found = compare_people_models({"jackpot": model}, data, prior, ["dial", "clamped"], seed=seed)
        for value, truth in zip(found.log_evidence.tolist(), (-2.50, -3.57), strict=True):
            assert abs(value - truth) <= 0.5
        assert found.best == "dial"
    fit = fit_people({"jackpot": model}, data, prior, method="svi", num_samples=40, seed=0)
    assert fit.identification.num_one_sided_people == 2
    assert "2 people chose the same action every time" in str(fit.identification)
    with pytest.raises(InvalidArgument, match="different models"):
        compare_people_models({"jackpot": model}, data, prior, ["dial", "dial"], seed=0)
