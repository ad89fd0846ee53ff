"""Fits with every loss of Pyro, with schedulers, with guides that make their parameters late; and how they resume."""

import copy
import math
import pickle
import re
from typing import Any

import pyro
import pyro.distributions as dist
import pyro.optim as optimisers
import pytest
import torch
from problems import gamble, random_mdp
from pyro.infer import (
    EnergyDistance,
    JitTrace_ELBO,
    RenyiELBO,
    ReweightedWakeSleep,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
    TraceTailAdaptive_ELBO,
    TraceTMC_ELBO,
    config_enumerate,
)
from pyro.infer.autoguide import (
    AutoDelta,
    AutoDiagonalNormal,
    AutoDiscreteParallel,
    AutoGaussian,
    AutoGuideList,
    AutoIAFNormal,
    AutoLaplaceApproximation,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
    AutoNormalMessenger,
    AutoStructured,
)
from pyro.nn import PyroModule
from pyro.optim import ClippedAdam, PyroOptim
from pyro.optim.lr_scheduler import PyroLRScheduler
from torch.optim import lr_scheduler

from pgm_control import (
    ClampedGuide,
    Estimate,
    Fit,
    FitStatus,
    FreeGuide,
    InvalidArgument,
    InvalidCheckpoint,
    InvalidGuide,
    MarkovELBO,
    MarkovObjective,
    TabularModel,
    ToGoELBO,
    evaluate,
    fit,
    infer,
)
from pgm_control.guides import MixtureELBO, MixtureGuide, NeuralGuide, OpenLoopGuide, guide_entry, guide_zoo
from pgm_control.inference.variational.elbo import elbo
from pgm_control.inference.variational.fitting.losses import objective_name

pytestmark = pytest.mark.wrong_types
MODEL = TabularModel(gamble())
LOG_Z = float(dist.Normal(0.0, math.sqrt(2.0)).log_prob(torch.tensor(2.0)))  # of `normal`


def normal():
    """z ~ N(0, 1) and an observation N(z, 1) of 2: the posterior is N(1, 1/2)."""
    z = pyro.sample("z", dist.Normal(torch.tensor(0.0), 1.0))
    pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(2.0))


def regulator():
    """The linear-quadratic Gaussian problem s' = 0.9 s + 0.5 u + w, cost (s² + 0.2 u²)/2, written by hand in Pyro."""
    s = pyro.sample("state_0", dist.Normal(torch.tensor(1.0), math.sqrt(0.5)))
    for t in range(6):
        u = pyro.sample(f"action_{t}", dist.Normal(torch.tensor(0.0), 1.0))
        pyro.factor(f"optimality_{t}", -0.5 * (s.square() + 0.2 * u.square()))
        s = pyro.sample(f"state_{t + 1}", dist.Normal(0.9 * s + 0.5 * u, math.sqrt(0.3)))


REGULATOR_LOG_Z = -2.7677273982  # by Gaussian elimination


def in_parts(model):
    """One Gaussian for all states and one for all actions."""
    guide = AutoGuideList(model)
    guide.append(AutoMultivariateNormal(pyro.poutine.block(model, hide_fn=lambda site: "state" not in site["name"])))
    guide.append(AutoMultivariateNormal(pyro.poutine.block(model, hide_fn=lambda site: "action" not in site["name"])))
    return guide


def coin():
    """log p(O) = log((1 + e + e²)/3); the posterior is softmax(0, 1, 2)."""
    x = pyro.sample("x", dist.Categorical(logits=torch.zeros(3)))
    pyro.factor("score", torch.tensor([0.0, 1.0, 2.0])[x])


class Coin(PyroModule):
    def __init__(self):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.zeros(3))

    def forward(self, observations=None):
        return pyro.sample("x", dist.Categorical(logits=self.logits))


def sgd(lr=0.1, **more):
    return PyroOptim(torch.optim.SGD, {"lr": lr, **more})


def estimate_of(found):
    mean, error = found.estimate or (math.nan, math.nan)
    return mean, error


# Losses


LOSSES = {
    "Trace": (Trace_ELBO(num_particles=20), "ELBO"),
    "TraceGraph": (TraceGraph_ELBO(num_particles=20), "ELBO"),
    "TraceEnum": (TraceEnum_ELBO(max_plate_nesting=0), "ELBO"),
    "wake": (ReweightedWakeSleep(num_particles=20, vectorize_particles=False), "importance-weighted bound"),
    "Rényi": (RenyiELBO(alpha=0.5, num_particles=20), "Rényi bound"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_of_pyro_reports_a_number_and_what_it_is(name):
    loss, objective = LOSSES[name]
    found = fit(coin, Coin(), loss, num_steps=250 if name == "TraceEnum" else 60, seed=0)
    assert (found.objective_name, found.elbo) == (objective, None)
    numbers = r"-?[\d.]+ ± [\d.e-]+ nats, estimated by the mean of the last \d+ steps"
    assert re.match(rf"Fit\({objective} {numbers}", str(found))
    mean, error = estimate_of(found)
    evidence = math.log((1 + math.e + math.e**2) / 3)
    assert evidence - 0.2 < mean < evidence + 5 * error + 1e-6
    torch.testing.assert_close(found.guide.logits.softmax(-1), torch.softmax(torch.arange(3.0), -1), atol=0.15, rtol=0)


def test_the_sleep_phase_alone_reports_its_own_loss():
    """The other number of wake-sleep is then a constant, which would look like convergence."""

    def model(observations=None):
        z = pyro.sample("z", dist.Normal(torch.tensor(0.0), 1.0))
        pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(2.0))

    class Sleeper(PyroModule):
        def __init__(self):
            super().__init__()
            self.slope = torch.nn.Parameter(torch.tensor(0.0))

        def forward(self, observations=None):
            x = torch.tensor(2.0) if observations is None else observations["x"]
            pyro.sample("z", dist.Normal(self.slope * x, math.sqrt(0.5)))

    loss = ReweightedWakeSleep(20, insomnia=0.0, model_has_params=False, vectorize_particles=False)
    found = fit(model, Sleeper(), loss, num_steps=150, seed=0, optim=PyroOptim(torch.optim.Adam, {"lr": 0.05}))
    assert found.objective_name == "minus the sleep loss"
    assert found.guide.slope.item() == pytest.approx(0.5, abs=0.1)
    expected = -dist.Normal(0.0, math.sqrt(0.5)).entropy().item()
    assert estimate_of(found)[0] == pytest.approx(expected, abs=5 * estimate_of(found)[1] + 0.02)


@pytest.mark.parametrize(
    ("model", "guide", "loss", "message"),
    [
        (
            coin,
            lambda: Coin(),
            ReweightedWakeSleep(insomnia=0.5),
            "must not draw the observations of a model with pyro.factor, such as `score`, but is ReweightedWakeSleep",
        ),
        (normal, lambda: AutoNormal(normal), ReweightedWakeSleep(insomnia=0.0), "`model` must take the keyword `obs"),
        (
            lambda observations=None: normal(),
            lambda: AutoNormal(normal),
            ReweightedWakeSleep(insomnia=0.0),
            "`guide` must take the keyword `observations` for a loss with insomnia=0",
        ),
        (coin, lambda: Coin(), EnergyDistance(), "but is EnergyDistance"),
        (coin, lambda: Coin(), RenyiELBO(alpha=0.0, num_particles=5), "site that is not reparameterised, such as `x`"),
        (
            MODEL,
            lambda: ClampedGuide(MODEL),
            JitTrace_ELBO(),
            "must not be compiled for a guide whose .* Take Trace_ELBO",
        ),
    ],
)
def test_losses_that_do_not_suit_the_pair_are_refused(model, guide, loss, message):
    with pytest.raises(InvalidArgument, match=message):
        fit(model, guide(), loss, num_steps=2)


def test_the_importance_weighted_bound_of_reparameterised_sites():
    found = fit(regulator, AutoNormal(regulator), RenyiELBO(alpha=0.0, num_particles=5), num_steps=3, seed=0)
    assert found.objective_name == "importance-weighted bound"


def test_losses_are_named_by_what_they_bound():
    assert objective_name(TraceTMC_ELBO()) == "tensor Monte Carlo bound"
    assert objective_name(RenyiELBO(alpha=0.0)) == "importance-weighted bound"
    assert objective_name(RenyiELBO(alpha=2.0)) == "Rényi bound"


def test_mean_field_losses_are_fitted_too():
    found = fit(normal, AutoNormal(normal), TraceMeanField_ELBO(), num_steps=200, seed=0)
    assert found.objective_name == "ELBO"
    assert estimate_of(found)[0] == pytest.approx(LOG_Z, abs=0.1)


@pytest.mark.slow
def test_wake_sleep_fits_a_tabular_guide():
    guide = FreeGuide(MODEL)
    before = evaluate(MODEL, guide).elbo
    loss = ReweightedWakeSleep(num_particles=20, vectorize_particles=False)
    found = fit(MODEL, guide, loss, num_steps=60, seed=0)
    assert before + 0.1 < evaluate(MODEL, guide).elbo <= infer(MODEL, 1.0).objective
    assert found.elbo == evaluate(MODEL, guide).elbo


def test_a_loss_of_ones_own_may_be_a_function():
    def loss(model, guide):
        return TraceEnum_ELBO(max_plate_nesting=0).differentiable_loss(model, config_enumerate(guide))

    found = fit(coin, Coin(), loss, num_steps=200, seed=0)
    assert found.objective_name == "minus loss"
    assert estimate_of(found)[0] == pytest.approx(math.log((1 + math.e + math.e**2) / 3), abs=0.01)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (3, "`loss` must be a function that can be called with the model, the guide, but is 3. Take a Pyro ELBO"),
        (Trace_ELBO, "`loss` must be an object, but is the class Trace_ELBO"),
        (lambda model: 0.0, "too many positional arguments. Take a Pyro ELBO"),
        (lambda model, guide: "a", "`loss` must return a number, but <lambda> returns 'a'"),
        (lambda model, guide: torch.zeros(2), r"must return a number, but <lambda> returns a tensor of .*shape \(2,\)"),
        (
            TraceTailAdaptive_ELBO(num_particles=2),
            "`loss` must compute its value, but TraceTailAdaptive",
        ),
    ],
)
def test_losses_that_report_no_number_are_refused(loss, message):
    with pytest.raises(InvalidArgument, match=message):
        fit(coin, Coin(), loss)


def test_the_estimate_is_a_mean_with_its_error():
    guide = ClampedGuide(MODEL)
    exact = evaluate(MODEL, guide).elbo

    def program():  # the same guide without its blocks
        return guide()

    found = fit(MODEL, program, Trace_ELBO(), sgd(0.0), num_steps=400, seed=0)
    mean, error = estimate_of(found)
    assert found.elbo is None
    assert abs(mean - exact) < 5 * error
    assert error == pytest.approx(float(found.elbo_history[-100:].std()) / 10, rel=0.5)
    assert float(found.elbo_history.std()) > 9 * error  # the last step alone is noise
    assert str(found).startswith(
        f"Fit(ELBO {Estimate(mean, error, 100)} nats, estimated by the mean of the last 100 steps"
    )
    assert "estimated by the mean of the last 100 steps" in found._repr_html_()
    assert fit(MODEL, program, Trace_ELBO(), num_steps=1, seed=0).estimate == (pytest.approx(exact, abs=30), math.inf)


# Guides whose parameters are made by the first call


@pytest.mark.parametrize("kind", [AutoNormal, AutoDiagonalNormal, AutoLowRankMultivariateNormal, AutoDelta])
def test_autoguides_are_fitted_without_a_call_before(kind):
    guide = kind(normal)
    found = fit(normal, guide, optim=PyroOptim(torch.optim.Adam, {"lr": 0.02}), num_steps=600, seed=0)
    assert guide.median()["z"].item() == pytest.approx(1.0, abs=0.2)
    if kind is not AutoDelta:
        mean, error = estimate_of(found)
        assert mean == pytest.approx(LOG_Z, abs=0.02 + 5 * error)
    pyro.clear_param_store()  # `median` ran the guide


@pytest.mark.slow
def test_a_gaussian_autoguide_finds_the_evidence_of_a_linear_gaussian_program():
    """Not with AutoNormal, whose independent sites lose more than a nat."""
    decaying = {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.05}, "gamma": 0.99}
    found = fit(
        regulator,
        AutoMultivariateNormal(regulator),
        Trace_ELBO(num_particles=8, vectorize_particles=True, max_plate_nesting=0),
        vars(optimisers)["ExponentialLR"](decaying),
        num_steps=500,
        seed=0,
        tolerance=0,
    )
    mean, error = estimate_of(found)
    assert REGULATOR_LOG_Z - 0.05 < mean < REGULATOR_LOG_Z + 5 * error + 1e-6


AUTOGUIDES = {
    "multivariate": AutoMultivariateNormal,
    "flow": lambda model: AutoIAFNormal(model, hidden_dim=[14]),
    "Laplace": AutoLaplaceApproximation,
    "Gaussian": AutoGaussian,
    "structured": lambda model: AutoStructured(model, conditionals="normal", dependencies="linear"),
    "messenger": AutoNormalMessenger,
    "delta": AutoDelta,
    "in parts": in_parts,
}


@pytest.mark.parametrize("name", AUTOGUIDES)
def test_every_autoguide_resumes_bit_for_bit(name, tmp_path):
    def run(steps, **more):
        torch.manual_seed(5)  # flows and scales of structured guides start at random
        return fit(regulator, AUTOGUIDES[name](regulator), optim=ClippedAdam({"lr": 0.02}), num_steps=steps, **more)

    whole = run(12, seed=1)
    run(5, seed=1, checkpoint=tmp_path / "fit.pt")
    assert torch.equal(run(12, resume=tmp_path / "fit.pt").elbo_history, whole.elbo_history)
    assert whole.objective_name == ("ELBO with point values" if name in ("delta", "Laplace") else "ELBO")
    assert not dict(pyro.get_param_store())


def test_a_discrete_autoguide_is_fitted_and_a_continuous_model_refused():
    def pair():
        x = pyro.sample("x", dist.Categorical(logits=torch.zeros(3)))
        pyro.factor("score", x.float() * pyro.sample("y", dist.Bernoulli(torch.tensor(0.3))))

    model = config_enumerate(pair)
    found = fit(model, AutoDiscreteParallel(model), TraceEnum_ELBO(max_plate_nesting=0), num_steps=200, seed=0)
    evidence = math.log(0.7 + 0.3 * (1 + math.e + math.e**2) / 3)
    assert evidence - 0.1 < estimate_of(found)[0] < evidence
    with pytest.raises(InvalidGuide, match="AutoDiscreteParallel raises NotImplementedError"):
        fit(regulator, AutoDiscreteParallel(regulator))


def test_a_point_in_a_discrete_site_and_a_function_of_random_sites_are_no_point_values():
    class Sure(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(()))

        def forward(self):
            pyro.sample("x", dist.Delta(torch.tensor(2)))

    found = fit(coin, Sure(), optim=sgd(), num_steps=3)
    assert found.objective_name == "ELBO"
    assert found.elbo_history.tolist() == pytest.approx([2 - math.log(3)] * 3)
    assert fit(regulator, AutoDiagonalNormal(regulator), num_steps=2, seed=0).objective_name == "ELBO"


def test_fits_and_estimates_leave_the_parameters_of_modules_out_of_the_store():
    guide = AutoNormal(normal)
    fit(normal, guide, num_steps=3, seed=0)
    assert not dict(pyro.get_param_store())


def test_an_autoguide_is_the_same_for_the_same_seed_and_resumes_bit_for_bit(tmp_path):
    whole = fit(normal, AutoNormal(normal), num_steps=40, seed=3)
    fit(normal, AutoNormal(normal), num_steps=15, seed=3, checkpoint=tmp_path / "fit.pt")
    rest = fit(normal, AutoNormal(normal), num_steps=40, resume=tmp_path / "fit.pt")
    assert torch.equal(rest.elbo_history, whole.elbo_history)


def test_two_autoguides_share_nothing():
    one, other = AutoNormal(normal), AutoNormal(normal)
    fit(normal, one, num_steps=50, seed=0)
    before = one.median()["z"].item()
    fit(normal, other, num_steps=3, seed=1)
    assert one.median()["z"].item() == before != other.median()["z"].item()
    one()  # Pyro would give it the values of the other
    assert one.median()["z"].item() == before
    pyro.clear_param_store()


def test_lazy_layers_are_fitted():
    class Lazy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.LazyLinear(3)

        def forward(self):
            pyro.sample("x", dist.Categorical(logits=self.layer(torch.ones(2))))

    found = fit(coin, Lazy(), TraceEnum_ELBO(max_plate_nesting=0), num_steps=300, seed=0)
    assert estimate_of(found)[0] == pytest.approx(math.log((1 + math.e + math.e**2) / 3), abs=0.01)


def test_an_autoguide_that_does_not_suit_the_model_is_named():
    with pytest.raises(InvalidGuide, match=r"`guide` must run without arguments, .*but AutoNormal raises"):
        fit(MODEL, AutoNormal(MODEL))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((MODEL, None), "`guide` must be a function that can be called without arguments, but is None"),
        ((MODEL, lambda state: None), "missing a required argument: 'state'. Pass a Pyro guide"),
        ((None, Coin()), "`model` must be a function that can be called without arguments, but is None"),
        ((gamble(), FreeGuide(MODEL)), "`model` must be a function .* but is TabularMDP"),
        ((MODEL, FreeGuide(MODEL), None, torch.optim.Adam), "`optim` must be a Pyro optimiser, but is the class Adam"),
    ],
)
def test_what_is_no_program_is_refused(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        fit(*arguments)


def test_a_seed_of_another_kind_is_named():
    with pytest.raises(InvalidArgument, match="`seed` must be a whole number"):
        fit(MODEL, FreeGuide(MODEL), seed="a")


# Optimisers and schedulers


SCHEDULES = {
    "ExponentialLR": (lr_scheduler.ExponentialLR, {"gamma": 0.9}),
    "StepLR": (lr_scheduler.StepLR, {"step_size": 7, "gamma": 0.5}),
    "CosineAnnealingWarmRestarts": (lr_scheduler.CosineAnnealingWarmRestarts, {"T_0": 5}),
    "OneCycleLR": (lr_scheduler.OneCycleLR, {"max_lr": 0.2, "total_steps": 50}),
    "LambdaLR": (lr_scheduler.LambdaLR, {"lr_lambda": lambda step: 1 / (1 + step)}),
    "ReduceLROnPlateau": (lr_scheduler.ReduceLROnPlateau, {"patience": 2, "threshold": 0.05}),
}


def scheduled(name, lr=0.3):
    kind, arguments = SCHEDULES[name]
    made = {"optimizer": torch.optim.SGD, "optim_args": {"lr": lr, "momentum": 0.5}, **arguments}
    return PyroLRScheduler(kind, made)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedulers_make_a_step_after_every_step_as_in_torch(name, tmp_path):
    kind, arguments = SCHEDULES[name]
    model = TabularModel(random_mdp(seed=1))
    guide = ClampedGuide(model)
    optimiser = torch.optim.SGD(guide.parameters(), lr=0.3, momentum=0.5)
    scheduler = kind(optimiser, **arguments)
    expected = []
    for _ in range(30):
        loss = -elbo(model, guide.blocks())
        expected.append(-loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        scheduler.step(*([loss.item()] if name == "ReduceLROnPlateau" else []))
    rates = [group["lr"] for group in optimiser.param_groups]
    found = fit(model, ClampedGuide(model), optim=scheduled(name), num_steps=30, tolerance=0)
    torch.testing.assert_close(found.elbo_history, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)
    assert rates != [0.3] or name == "CosineAnnealingWarmRestarts"  # whose period is over
    fit(model, ClampedGuide(model), optim=scheduled(name), num_steps=12, tolerance=0, checkpoint=tmp_path / "fit.pt")
    rest = fit(model, ClampedGuide(model), optim=scheduled(name), num_steps=30, tolerance=0, resume=tmp_path / "fit.pt")
    assert torch.equal(rest.elbo_history, found.elbo_history)


def test_the_schedulers_of_pyro_are_those_of_torch():
    made = {"optimizer": torch.optim.SGD, "optim_args": {"lr": 0.3, "momentum": 0.5}, "gamma": 0.9}
    one, other = (
        fit(MODEL, ClampedGuide(MODEL), optim=optim, num_steps=20)
        for optim in (vars(optimisers)["ExponentialLR"](made), scheduled("ExponentialLR"))
    )
    assert torch.equal(one.elbo_history, other.elbo_history)


@pytest.mark.parametrize(("schedule", "length"), [({"total_steps": 50}, 50), ({"epochs": 3, "steps_per_epoch": 4}, 12)])
def test_a_schedule_that_ends_before_the_fit_is_refused_before_the_first_step(schedule, length):
    guide = FreeGuide(MODEL)

    def optim():
        settings = {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.1}, "max_lr": 0.2, **schedule}
        return PyroLRScheduler(lr_scheduler.OneCycleLR, settings)

    message = (
        rf"`num_steps` must be at most {length}, where the schedule OneCycleLR of `optim` ends, but is {length + 1}"
    )
    with pytest.raises(InvalidArgument, match=message):
        fit(MODEL, guide, optim=optim(), num_steps=length + 1)
    assert not guide.policy_logits.any()
    past = fit(MODEL, guide, optim=optim(), num_steps=length, tolerance=0)
    with pytest.raises(InvalidArgument, match=message):
        fit(MODEL, guide, optim=optim(), num_steps=length + 1, resume=past)


@pytest.mark.parametrize(
    ("optim", "message"),
    [
        (sgd(-1.0), r"SGD\(lr=-1.0\) raises: Invalid learning rate"),
        (sgd(friction=2.0), "unexpected keyword argument 'friction'"),
        (PyroOptim(torch.optim.LBFGS, {"lr": 1.0}), "missing 1 required positional argument: 'closure'"),
        (PyroOptim(torch.optim.SGD, {"lr": 0.1}, {"norm": 1.0}), "unexpected keyword argument 'norm'"),
        (
            PyroLRScheduler(lr_scheduler.StepLR, {"optimizer": torch.optim.SGD, "optim_args": {"lr": 0.1}}),
            "missing 1 required positional argument: 'step_size'",
        ),
    ],
)
def test_optimisers_that_torch_cannot_run_are_refused_before_the_first_step(optim, message):
    with pytest.raises(InvalidArgument, match=f"`optim` must be an optimiser that torch can run .*{message}"):
        fit(MODEL, FreeGuide(MODEL), optim=optim)


def test_an_error_within_a_fit_leaves_a_checkpoint_of_all_steps_so_far(tmp_path):
    def raises_at(last):
        def callback(seen):
            if seen.step == last:
                raise KeyError(last)

        return callback

    with pytest.raises(KeyError):
        fit(MODEL, FreeGuide(MODEL), num_steps=30, callbacks=[raises_at(17)], checkpoint=tmp_path / "fit.pt")
    rest = fit(MODEL, FreeGuide(MODEL), num_steps=30, resume=tmp_path / "fit.pt", callbacks=[raises_at(17)])
    assert torch.equal(rest.elbo_history, fit(MODEL, FreeGuide(MODEL), num_steps=30).elbo_history)


class SignDescent(torch.optim.Optimizer):
    """An optimiser of one's own, with a state: it follows the sign of a moving mean of the gradient."""

    def __init__(self, params, lr=0.01):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            for parameter in (each for each in group["params"] if each.grad is not None):
                state = self.state[parameter]
                state["mean"] = 0.9 * state.get("mean", torch.zeros_like(parameter)) + 0.1 * parameter.grad
                parameter.sub_(group["lr"] * state["mean"].sign())


def regulated():
    """A guide function with parameters in Pyro's store."""
    mean = pyro.param("mean", torch.zeros(13))
    scale = pyro.param("scale", torch.ones(13), constraint=dist.constraints.positive)
    names = ["state_0", *(name for t in range(6) for name in (f"action_{t}", f"state_{t + 1}"))]
    for i, name in enumerate(names):
        pyro.sample(name, dist.Normal(mean[i], scale[i]))


def rates(name):
    return {"lr": 0.01 if name == "mean" else 0.1}


OPTIMISERS = {
    "clipped": lambda: ClippedAdam({"lr": 0.05, "lrd": 0.99, "clip_norm": 1.0}),
    "clipping": lambda: PyroOptim(torch.optim.Adam, {"lr": 0.05}, {"clip_norm": 1.0}),
    "state at the start": lambda: vars(optimisers)["AdagradRMSProp"]({"eta": 0.1}),
    "of one's own": lambda: PyroOptim(SignDescent, {"lr": 0.02}),
    "by name": lambda: PyroOptim(torch.optim.Adam, rates),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_resumes_bit_for_bit(name, tmp_path):
    def run(steps, **more):
        pyro.clear_param_store()
        return fit(regulator, regulated, optim=OPTIMISERS[name](), num_steps=steps, **more)

    whole = run(12, seed=1)
    run(5, seed=1, checkpoint=tmp_path / "fit.pt")
    assert torch.equal(run(12, resume=tmp_path / "fit.pt").elbo_history, whole.elbo_history)
    pyro.clear_param_store()


def test_settings_by_the_name_of_a_parameter_are_refused_for_modules():
    with pytest.raises(InvalidArgument, match="`optim` must have a dictionary of settings for a guide that"):
        fit(MODEL, FreeGuide(MODEL), optim=PyroOptim(torch.optim.Adam, lambda name: {"lr": 0.1}))


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ({"optim": sgd(0.2)}, r"its optimiser was SGD\(lr=0.1\), but here it is SGD\(lr=0.2\)"),
        ({"optim": sgd(0.1, momentum=0.9)}, r"but here it is SGD\(lr=0.1, momentum=0.9\)"),
        ({"optim": ClippedAdam({"lr": 0.1})}, r"its optimiser was SGD.*, but here it is ClippedAdam\(lr=0.1\)"),
        ({"optim": scheduled("StepLR", 0.1)}, r"its optimiser was SGD.*StepLR\(step_size=7, gamma=0.5\)"),
        ({"optim": None}, r"its optimiser was SGD.*, but here it is Adam\(lr=0.1, betas=\(0.9, 0.9\)"),
        ({"loss": MarkovELBO()}, None),
        ({"loss": Trace_ELBO()}, "its loss was MarkovELBO.*, but here it is Trace_ELBO.*num_particles=1"),
        ({"loss": MarkovObjective(0.5)}, "its loss was MarkovELBO"),
        ({"method": "natural_gradient", "optim": None}, "its method was svi, but here it is natural_gradient"),
    ],
)
@pytest.mark.parametrize("on_disk", [False, True])
def test_a_fit_is_resumed_with_the_same_settings_only(tmp_path, now, message, on_disk):
    past = fit(MODEL, FreeGuide(MODEL), optim=sgd(0.1), num_steps=5)
    past.save(tmp_path / "fit.pt")
    arguments = {"optim": sgd(0.1), **now, "resume": tmp_path / "fit.pt" if on_disk else past}
    if message is None:
        assert fit(MODEL, FreeGuide(MODEL), num_steps=8, **arguments).num_steps == 8
    else:
        with pytest.raises(InvalidCheckpoint, match=message):
            fit(MODEL, FreeGuide(MODEL), num_steps=8, **arguments)


def test_numbers_of_particles_and_the_order_are_settings_too():
    for before, after in (
        (Trace_ELBO(num_particles=2), Trace_ELBO(num_particles=3)),
        (RenyiELBO(alpha=0.5), RenyiELBO(alpha=0.3)),
    ):
        past = fit(coin, Coin(), before, num_steps=3, seed=0)
        with pytest.raises(InvalidCheckpoint, match="its loss was"):
            fit(coin, Coin(), after, num_steps=5, resume=past)
        assert fit(coin, Coin(), before, num_steps=5, resume=past).num_steps == 5


def test_the_baseline_of_a_loss_is_resumed_too(tmp_path):
    class Program(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = ClampedGuide(MODEL)

        def forward(self):
            return self.inner()

    class Baseline(torch.nn.Module):
        def __init__(self, start):
            super().__init__()
            self.level = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))

        def forward(self, states):
            return self.level.expand(len(states))

    def run(steps, start, **more):
        return fit(MODEL, Program(), ToGoELBO(Baseline(start)), num_steps=steps, tolerance=0, **more)

    whole = run(30, 1.0, seed=0)
    run(10, 1.0, seed=0, checkpoint=tmp_path / "fit.pt")
    assert torch.equal(run(30, 7.0, resume=tmp_path / "fit.pt").elbo_history, whole.elbo_history)


def test_parameters_that_a_checkpoint_does_not_hold_are_said():
    def model():
        x = pyro.sample("x", dist.Categorical(logits=torch.zeros(3)))
        pyro.factor("score", (pyro.param("slope", torch.tensor(0.5)) - 1.0).square().neg() * x)

    pyro.clear_param_store()
    past = fit(model, Coin(), TraceEnum_ELBO(max_plate_nesting=0), num_steps=5, seed=0)
    with pytest.raises(InvalidCheckpoint, match="`resume` does not hold all that was fitted"):
        fit(model, Coin(), TraceEnum_ELBO(max_plate_nesting=0), num_steps=9, resume=past)
    pyro.clear_param_store()


# Other processes


@pytest.mark.parametrize("name", guide_zoo())
def test_fitted_guides_and_fits_go_to_other_processes(name):
    entry, model = guide_entry(name), TabularModel(random_mdp(seed=0, horizon=2))
    found = fit(model, entry.build(model), **{**entry.fit, "num_steps": 3, "seed": 0})
    for there in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert isinstance(there, Fit)
        assert torch.equal(there.elbo_history, found.elbo_history)
        guide: Any = there.guide
        again = fit(guide.model, guide, **{**entry.fit, "num_steps": 5, "resume": there})
        assert again.num_steps > found.num_steps or again.status is found.status


# Weights


def test_seeds_give_the_weights_and_leave_the_global_generator_alone():
    state = torch.get_rng_state()
    one, two, three = (NeuralGuide(MODEL, hidden=(5,), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    first = [next(each.network.parameters()) for each in (one, two, three)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])
    generator = torch.Generator().manual_seed(0)
    four, five = (next(NeuralGuide(MODEL, hidden=(5,), seed=generator).network.parameters()) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(four, five)


def test_the_mixture_takes_particles_as_the_losses_of_pyro():
    mixture = MixtureGuide.apart(MODEL, OpenLoopGuide, 2, seed=0)
    assert fit(MODEL, mixture, MixtureELBO(num_particles=4), num_steps=3, seed=0).objective_name == "ELBO"
    with pytest.raises(InvalidArgument, match="`num_particles` must be a whole number, at least 2, but is 1"):
        MixtureELBO(num_particles=1)
    assert FitStatus.converged.message


def test_guides_with_other_sites_than_the_models_are_refused():
    """The ELBO of a guide with a site of its own grows without bound, because nothing pays for its entropy."""
    model = TabularModel(gamble())
    inner = ClampedGuide(model)

    def wider():
        inner()
        pyro.sample("noise", dist.Normal(0.0, 1.0))

    for guide, message in ((wider, "`noise` is extra"), (lambda: None, "is missing")):
        with pytest.raises(InvalidGuide, match=f"must sample the sites of the model and no other, but .*{message}"):
            fit(model, guide, num_steps=2)
