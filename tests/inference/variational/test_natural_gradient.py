"""Tests of natural gradients: they are advantages, converge in a few steps and never decrease the objective.

The method "exact" reaches the optimum in one step.
"""

import signal
from typing import final

import gymnasium
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import gamble, random_mdp
from pyro.optim import PyroOptim
from strategies import laws, model_of, problems

from pgm_control import (
    Blocks,
    ClampedGuide,
    FitStatus,
    FreeGuide,
    InvalidCheckpoint,
    InvalidGuide,
    MarkovELBO,
    MarkovGuide,
    Optimism,
    TabularMDP,
    TabularModel,
    fit,
    infer,
)
from pgm_control.inference.variational.elbo import elbo
from pgm_control.inference.variational.fitting.checkpoint import Checkpoint
from pgm_control.inference.variational.fitting.fit import _way
from pgm_control.inference.variational.natural_gradient import improved
from pgm_control.models import restaurant, risky_path, slippery_cliff
from pgm_control.trajectories.blocks import Assignable

every_guide = pytest.mark.parametrize("guide_class", [FreeGuide, ClampedGuide])
every_step_size = st.floats(1e-3, 1.0)
both_methods = pytest.mark.parametrize("method", ["natural_gradient", "exact"])


def frozen_lake():
    return TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1"), horizon=20)


def shaken(guide, seed):
    """The guide with random parameters, away from the prior."""
    noise = torch.Generator().manual_seed(seed)
    for parameter in guide.parameters():
        parameter.data.normal_(generator=noise)
    return guide


PROBLEMS = {
    "restaurant": (restaurant, 1.0),
    "risky path": (risky_path, 1.0),
    "risky path, cold": (risky_path, 0.2),
    "frozen lake": (frozen_lake, 0.1),
    "slippery cliff": (slippery_cliff, 1.0),
}
every_problem = pytest.mark.parametrize(("build", "temperature"), PROBLEMS.values(), ids=PROBLEMS.keys())


@every_guide
@every_problem
def test_soft_policy_iteration_reaches_the_optimum_in_a_few_steps(build, temperature, guide_class):
    model = TabularModel(build(), temperature)
    best = infer(model, guide_class(model).optimism).objective
    found = fit(model, guide_class(model), method="natural_gradient", num_steps=model.mdp.horizon + 2, tolerance=1e-10)
    assert found.elbo == pytest.approx(best, abs=1e-9)
    assert found.num_steps <= 12


@every_guide
@every_problem
def test_the_exact_method_reaches_the_optimum_in_one_step(build, temperature, guide_class):
    model = TabularModel(build(), temperature)
    guide = guide_class(model)
    exact, before = infer(model, guide.optimism), elbo(model, guide.blocks()).item()
    found = fit(model, guide, method="exact")
    assert (found.num_steps, found.status, found.elbo_history.tolist()) == (1, FitStatus.converged, [before])
    assert found.elbo == pytest.approx(exact.objective, rel=1e-12, abs=1e-12)
    assert f"ELBO {exact.objective:.6f} nats" in repr(found)
    for name in ("log_initial", "log_policy", "log_dynamics"):
        ours, theirs = getattr(guide.blocks(), name), getattr(exact.blocks(), name)
        torch.testing.assert_close(ours.detach(), theirs, rtol=1e-12, atol=1e-12)


@laws
@given(
    seed=st.integers(0, 10**6),
    guide_class=st.sampled_from([FreeGuide, ClampedGuide]),
    step_size=every_step_size,
    temperature=st.sampled_from([0.05, 0.5, 3.0]),
    discount=st.sampled_from([0.6, 1.0]),
    states=st.integers(1, 4),
    actions=st.integers(1, 3),
    horizon=st.integers(1, 5),
)
def test_no_step_decreases_the_objective(seed, guide_class, step_size, temperature, discount, states, actions, horizon):
    mdp = random_mdp(seed, states, actions, horizon=horizon, discount=discount)
    model = TabularModel(mdp, temperature)
    guide = shaken(guide_class(model), seed)
    found = fit(model, guide, method="natural_gradient", step_size=step_size, num_steps=6, tolerance=0.0)
    history = torch.cat((found.elbo_history, torch.tensor([found.elbo], dtype=torch.float64)))
    best = infer(model, guide.optimism).objective
    room = 1e-12 * (1.0 + history.abs().max() + abs(best))
    assert (history.diff() >= -room).all()
    assert history[-1] <= best + room
    if best - history[0] > 1e-6:
        assert history[-1] > history[0]


@laws
@given(problem=problems(), guide_class=st.sampled_from([FreeGuide, ClampedGuide]))
def test_forbidden_outcomes_masked_actions_and_discounts(problem, guide_class):
    model = model_of(problem)
    guide = guide_class(model)
    best = infer(model, guide.optimism).objective
    start = guide.blocks()
    # A step makes the dynamics of the last time step exact, the next one its policy, and so on back to the start.
    turns = problem.horizon * (2 if guide_class is FreeGuide else 1)
    for method, steps in (("natural_gradient", turns + 1), ("exact", 1)):
        guide = guide_class(model)
        found = fit(model, guide, method=method, num_steps=steps, tolerance=0.0)
        after = guide.blocks()
        assert not any(torch.isnan(getattr(after, f"log_{name}")).any() for name in ("initial", "policy", "dynamics"))
        if best == -torch.inf:
            assert found.status is FitStatus.not_finite
            torch.testing.assert_close(after.log_policy, start.log_policy)
        else:
            assert found.elbo == pytest.approx(best, rel=1e-12, abs=1e-10)
            assert ((after.log_policy > -torch.inf) <= (start.log_policy > -torch.inf)).all()


@pytest.mark.parametrize("step_size", [1.0, 0.5, 1e-3])
@pytest.mark.parametrize("seed", range(3))
def test_a_step_follows_the_inverse_fisher_information_times_the_gradient(seed, step_size):
    """Fisher × change = η × gradient, by automatic differentiation over all logits at once."""
    model = TabularModel(random_mdp(seed, horizon=2, discount=0.8), 0.7)
    guide = shaken(FreeGuide(model), seed)
    mdp, prior, old = model.mdp, model.blocks(), guide.blocks()
    tables = (prior.log_initial, prior.log_policy, prior.log_dynamics)

    def tilted_by(logits):
        parts = logits.split([table.numel() for table in tables])
        return Blocks(mdp, *(torch.log_softmax(t + x.view(t.shape), -1) for t, x in zip(tables, parts, strict=True)))

    def divergence(logits):
        """KL of the new trajectories from the old ones, up to a constant; its Hessian is the Fisher information."""
        new = tilted_by(logits)
        visits = old.marginals()
        outcome = visits.outcome.detach()
        pairs = (
            (visits.state[0].detach(), new.log_initial),
            (outcome.sum(-1), new.log_policy),
            (outcome, new.log_dynamics),
        )
        terms = [(weight * torch.where(weight > 0, log_q, 0.0)).sum() for weight, log_q in pairs]
        return -torch.stack(terms).sum()

    def logits_of(guide):
        return torch.cat([parameter.detach().flatten() for parameter in guide.parameters()])

    here = logits_of(guide).requires_grad_()
    (slope,) = torch.autograd.grad(divergence(here), here, create_graph=True)
    fisher = torch.stack([torch.autograd.grad(each, here, retain_graph=True)[0] for each in slope])
    (gradient,) = torch.autograd.grad(elbo(model, tilted_by(here)), here)
    better, before = improved(model, old, step_size)
    assert before == pytest.approx(elbo(model, old).item(), abs=1e-12)
    guide.assign(better)
    change = (logits_of(guide) - here).detach()
    torch.testing.assert_close(fisher @ change, step_size * gradient, rtol=1e-9, atol=1e-13)
    assert (fisher @ change).abs().max() > 1e-3 * step_size


@every_guide
def test_the_change_of_the_policys_logits_is_the_advantage(guide_class):
    """The advantage of an action is what choosing it with certainty adds to the ELBO-to-go, by differences."""
    model = TabularModel(random_mdp(seed=4, states=1, actions=3, horizon=1), 0.5)
    guide = shaken(guide_class(model), 4)
    old = guide.blocks()

    def to_go(action):
        sure = torch.full_like(old.log_policy, -torch.inf)
        sure[0, 0, action] = 0.0
        return elbo(model, old.replace(log_policy=sure)).detach() - model.action_prior.log()[0, 0]

    advantage = torch.stack([to_go(a) for a in range(3)]) - (old.log_policy[0, 0] - model.action_prior.log()[0, 0])
    before = guide.policy_logits.detach().clone()
    fit(model, guide, method="natural_gradient", step_size=0.01, num_steps=1)
    change = (guide.policy_logits.detach() - before)[0, 0] - 0.01 * advantage.detach()
    torch.testing.assert_close(change - change.mean(), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)


def test_free_survival_is_stepped_too():
    model = TabularModel(random_mdp(seed=1, discount=0.8))
    prior, everything = model.blocks(), Optimism(1.0, 1.0, 1.0)
    survival = torch.full((3, 3), 0.8, dtype=torch.float64).log()
    blocks = prior.replace(log_survival=survival)
    for _ in range(3 * model.mdp.horizon + 1):  # dynamics, policy and survival, one time step after another
        blocks, _ = improved(model, blocks, 1.0)
    assert elbo(model, blocks).item() == pytest.approx(infer(model, everything).objective, abs=1e-12)
    assert improved(model, blocks, 0.3)[1] == pytest.approx(infer(model, everything).objective, abs=1e-12)
    assert blocks.log_survival.exp().sub(0.8).abs().max() > 0.01


@every_guide
def test_single_precision_stays_single(guide_class):
    mdp = random_mdp(seed=2)
    single = TabularMDP(mdp.initial.float(), mdp.probability.float(), mdp.successor, mdp.reward.float(), mdp.horizon)
    model = TabularModel(single)
    guide = guide_class(model)
    fit(model, guide, method="natural_gradient")
    assert guide.blocks().log_policy.dtype == torch.float32
    assert elbo(model, guide.blocks()).item() == pytest.approx(infer(model, guide.optimism).objective, abs=1e-5)


@every_guide
def test_the_status_says_whether_it_converged_or_steps_ran_out(guide_class):
    model = TabularModel(frozen_lake(), 0.1)
    best = infer(model, guide_class(model).optimism).objective
    found = fit(model, guide_class(model), method="natural_gradient", step_size=0.5)
    assert found.status is FitStatus.converged
    assert (
        abs(found.elbo_history[-1] - found.elbo_history[-2])
        < 1e-5
        <= abs(found.elbo_history[-2] - found.elbo_history[-3])
    )
    assert found.elbo == pytest.approx(best, abs=1e-4)
    short = fit(model, guide_class(model), method="natural_gradient", step_size=0.01, num_steps=3)
    assert (short.status, short.num_steps) == (FitStatus.out_of_steps, 3)
    assert "`step_size`" in short.status.message


@pytest.mark.parametrize("on_disk", [False, True])
@every_guide
def test_a_resumed_fit_equals_an_uninterrupted_one_bit_for_bit(tmp_path, guide_class, on_disk):
    model = TabularModel(random_mdp(seed=1, discount=0.9), 0.3)

    def run(steps, **more):
        arguments = {"method": "natural_gradient", "step_size": 0.3, "tolerance": 0.0, "num_steps": steps}
        return fit(model, guide_class(model), **arguments, **more)

    whole, part = run(20), run(8)
    part.save(tmp_path / "part.pt")
    rest = run(20, resume=tmp_path / "part.pt" if on_disk else part)
    assert torch.equal(rest.elbo_history, whole.elbo_history)
    assert rest.elbo == whole.elbo
    for ours, theirs in zip(rest.guide.parameters(), whole.guide.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_its_checkpoint_has_no_optimiser_and_is_refused_by_other_methods(tmp_path):
    model, path = TabularModel(gamble()), tmp_path / "fit.pt"
    past = fit(model, FreeGuide(model), method="natural_gradient", num_steps=1, checkpoint=path)
    assert past.checkpoint.optimiser == Checkpoint.load(path).optimiser == {}
    with pytest.raises(InvalidCheckpoint, match="its method was natural_gradient, but here it is svi"):
        fit(model, FreeGuide(model), resume=path)
    with pytest.raises(InvalidCheckpoint, match="its method was svi, but here it is exact"):
        fit(model, FreeGuide(model), method="exact", resume=fit(model, FreeGuide(model), num_steps=1))


@both_methods
def test_callbacks_progress_and_ctrl_c_work(method):
    model = TabularModel(gamble())
    seen, shown = [], []
    found = fit(
        model,
        FreeGuide(model),
        method=method,
        seed=0,
        callbacks=[lambda info: seen.append((info.step, info.elbo))],
        progress=lambda step, metrics: shown.append((step, metrics["elbo"])),
    )
    assert seen == shown == list(enumerate(found.elbo_history.tolist(), 1))
    model = TabularModel(gamble(), 0.5)
    asked = fit(model, FreeGuide(model), method=method, callbacks=[lambda info: True])
    assert (asked.status, asked.num_steps) == (FitStatus.stopped, 1)
    if method == "natural_gradient":
        pressed = [lambda info: info.step == 2 and signal.raise_signal(signal.SIGINT)]
        found = fit(model, FreeGuide(model), method=method, step_size=0.1, callbacks=pressed)
        assert (found.status, found.num_steps) == (FitStatus.interrupted, 2)


def test_a_fit_that_breaks_is_restored_to_its_last_good_parameters():
    def ruin(info):
        if info.step == 3:
            info.guide.policy_logits.data.fill_(torch.nan)

    model = TabularModel(frozen_lake(), 0.1)
    found = fit(model, ClampedGuide(model), method="natural_gradient", step_size=0.1, callbacks=[ruin])
    assert found.status is FitStatus.not_finite
    assert found.guide.policy_logits.isfinite().all()


def test_svi_can_continue_from_the_exact_optimum():
    """The gradient is zero there, so plain descent stays (Adam would enlarge the rounding errors)."""
    model = TabularModel(frozen_lake(), 0.1)
    guide = fit(model, FreeGuide(model), method="exact").guide
    best = infer(model, 1.0).objective
    assert (
        fit(model, guide, optim=PyroOptim(torch.optim.SGD, {"lr": 0.1}), num_steps=20)
        .elbo_history.sub(best)
        .abs()
        .max()
        < 1e-9
    )


def test_a_guide_refuses_blocks_that_it_cannot_represent():
    """The pit is forbidden: the free posterior jumps and believes it lands; the clamped guide must not jump."""
    mdp = risky_path(horizon=3)
    reward = torch.where(mdp.reward < 0, -torch.inf, mdp.reward)
    model = TabularModel(mdp.replace(reward=reward))
    guide, free = ClampedGuide(model), infer(model, 1.0).blocks()
    before = guide.policy_logits.detach().clone()
    with pytest.raises(InvalidGuide, match=r"`blocks.log_policy` must be −inf .* at \(0, 0, 1\)"):
        guide.assign(free)
    other = TabularModel(risky_path(horizon=4))
    with pytest.raises(InvalidGuide, match=r"`blocks.log_policy` must have shape \(3, 4, 2\)"):
        guide.assign(infer(other, 0.0).blocks())
    with pytest.raises(InvalidGuide, match=r"`blocks.log_policy` must hold normalised log-probabilities"):
        guide.assign(free.replace(log_policy=free.log_policy - 1.0))
    assert torch.equal(guide.policy_logits, before)
    with pytest.raises(InvalidGuide, match=r"`blocks.log_dynamics`"):
        FreeGuide(model).assign(free.replace(log_dynamics=model.blocks().log_dynamics))


def test_a_clamped_guide_ignores_assigned_dynamics():
    model = TabularModel(random_mdp(seed=5))
    guide, free = ClampedGuide(model), infer(model, 1.0).blocks()
    guide.assign(free)
    torch.testing.assert_close(guide.blocks().log_policy.detach(), free.log_policy)
    assert torch.equal(guide.blocks().log_dynamics, model.blocks().log_dynamics)


def test_free_and_clamped_guides_are_assignable_and_a_posterior_is_not():
    model = TabularModel(gamble())
    assert isinstance(FreeGuide(model), Assignable)
    assert isinstance(ClampedGuide(model), Assignable)
    assert not isinstance(infer(model, 1.0), Assignable)


@final
class Unassignable(MarkovGuide):
    """A guide whose blocks are not tables of its own."""

    def __init__(self, model):
        super().__init__(model)
        self.logit = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))

    def blocks(self):
        return self.model.blocks()


@both_methods
def test_a_guide_or_a_model_without_tables_is_refused(method):
    model = TabularModel(gamble())

    def program():
        model()

    words = r'`guide` .*Unassignable has no `assign` and no `optimism` and no `optimum`. Use method="svi"'
    with pytest.raises(ValueError, match=words):
        fit(model, Unassignable(model), method=method)
    with pytest.raises(ValueError, match=r'`model` must be tabular for method=".*but program is not. Use method="svi"'):
        fit(program, FreeGuide(model), method=method)
    with pytest.raises(ValueError, match="needs no fit"):
        fit(model, infer(model, 1.0), method=method)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "exact", "loss": MarkovELBO()}, '`loss` is for method="svi", but method is "exact"'),
        (
            {"method": "natural_gradient", "optim": PyroOptim(torch.optim.Adam, {"lr": 0.1})},
            '`optim` is for method="svi", but method is "natural_gradient"',
        ),
        ({"method": "natural_gradient", "step_size": 0.0}, "`step_size` must be a number above 0 and at most 1"),
        ({"method": "natural_gradient", "step_size": 1.5}, "`step_size` must be a number above 0 and at most 1"),
        ({"method": "natural_gradient", "step_size": float("nan")}, "`step_size` must be .* but is nan"),
        ({"step_size": 0.5}, '`step_size` is for method="natural_gradient" and "em", but method is "svi"'),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    model = TabularModel(gamble())
    with pytest.raises(ValueError, match=message):
        fit(model, FreeGuide(model), **arguments)


def test_an_unknown_method_is_named():
    """The test calls `_way`, because in `fit` the type checker of the tests raises first."""
    model = TabularModel(gamble())
    with pytest.raises(
        ValueError, match="`method` must be one of svi, natural_gradient, em, exact, forward, but is 'newton'"
    ):
        _way("newton", model, FreeGuide(model), None, None, 1.0, 10, None)
