"""Tests of `fit`: SVI reaches each guide's own optimum, ends with a status, and resumes as if never stopped."""

import os
import signal

import gymnasium
import pyro
import pyro.distributions as dist
import pytest
import torch
from problems import gamble, random_mdp
from pyro.infer import Trace_ELBO, TraceEnum_ELBO
from pyro.nn import PyroModule, PyroParam
from pyro.optim import PyroOptim
from pyro.optim.lr_scheduler import PyroLRScheduler

from pgm_control import (
    ClampedGuide,
    DialGuide,
    FitStatus,
    FreeGuide,
    InvalidArgument,
    InvalidCheckpoint,
    InvalidGuide,
    MarkovELBO,
    MarkovGuide,
    TabularMDP,
    TabularModel,
    fit,
    infer,
)
from pgm_control.inference.variational.elbo import elbo
from pgm_control.inference.variational.fitting.checkpoint import Checkpoint
from pgm_control.inference.variational.fitting.fit import default_loss
from pgm_control.inference.variational.fitting.history import History
from pgm_control.models import restaurant, risky_path
from pgm_control.trajectories.blocks import require_model

GUIDES = {"free": (FreeGuide, 1.0), "clamped": (ClampedGuide, 0.0)}
every_guide = pytest.mark.parametrize(("guide_class", "optimism"), GUIDES.values(), ids=GUIDES.keys())


def frozen_lake():
    return TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1"), horizon=20)


@pytest.mark.slow
@every_guide
@pytest.mark.parametrize("build", [restaurant, risky_path, frozen_lake])
@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_svi_reaches_the_guides_own_optimum(build, temperature, guide_class, optimism):
    model = TabularModel(build(), temperature)
    best = infer(model, optimism).objective
    found = fit(model, guide_class(model))
    assert found.status is FitStatus.converged
    assert best - 1e-3 <= elbo(model, found.guide.blocks()).item() <= best + 1e-9


@every_guide
def test_any_pyro_elbo_works(guide_class, optimism):
    model = TabularModel(gamble(horizon=2))
    guide = guide_class(model)
    fit(model, guide, loss=TraceEnum_ELBO(max_plate_nesting=0), num_steps=300)
    assert elbo(model, guide.blocks()).item() == pytest.approx(infer(model, optimism).objective, abs=1e-3)


@pytest.mark.statistical
def test_score_function_gradients_move_towards_the_optimum():
    """With one fixed seed, the gap starts at 0.4 nats and must fall below 0.1."""
    model = TabularModel(gamble())
    guide, best = FreeGuide(model), infer(model, 1.0).objective
    assert best - elbo(model, guide.blocks()).item() > 0.25
    loss = Trace_ELBO(num_particles=256, vectorize_particles=True, max_plate_nesting=0)
    fit(model, guide, loss=loss, num_steps=150, seed=0)
    assert best - elbo(model, guide.blocks()).item() < 0.1


def test_the_status_says_when_steps_ran_out():
    model = TabularModel(frozen_lake(), 0.1)
    found = fit(model, FreeGuide(model), num_steps=50)
    assert (found.status, found.num_steps, len(found.elbo_history)) == (FitStatus.out_of_steps, 50, 50)
    assert "resume=this fit" in found.status.message


def test_noise_is_not_mistaken_for_convergence():
    model = TabularModel(gamble())
    loss = Trace_ELBO(num_particles=4, vectorize_particles=True, max_plate_nesting=0)
    found = fit(
        model, ClampedGuide(model), loss=loss, num_steps=600, seed=0, optim=PyroOptim(torch.optim.SGD, {"lr": 0.0})
    )
    assert found.status is FitStatus.out_of_steps


def test_a_callback_sees_every_step_and_may_stop():
    model = TabularModel(gamble())
    seen, shown = [], []
    found = fit(
        model,
        ClampedGuide(model),
        callbacks=[lambda info: seen.append(info.step), lambda info: info.step == 7],
        progress=lambda step, metrics: shown.append((step, metrics["elbo"])),
    )
    assert found.status is FitStatus.stopped
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert shown == list(enumerate(found.elbo_history.tolist(), 1))


def test_ctrl_c_returns_the_partial_fit():
    model = TabularModel(gamble())
    handler = signal.getsignal(signal.SIGINT)
    found = fit(model, FreeGuide(model), callbacks=[lambda info: info.step == 5 and signal.raise_signal(signal.SIGINT)])
    assert (found.status, found.num_steps) == (FitStatus.interrupted, 5)
    assert signal.getsignal(signal.SIGINT) is handler
    rest = fit(model, found.guide, num_steps=20, resume=found)
    assert rest.num_steps == 20


def test_a_second_ctrl_c_interrupts_at_once():
    def impatient(info):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    model = TabularModel(gamble())
    found = fit(model, FreeGuide(model), callbacks=[impatient])
    assert (found.status, found.num_steps) == (FitStatus.interrupted, 1)


def test_a_fit_that_breaks_is_restored_to_its_last_good_parameters():
    def ruin(info):
        if info.step == 150:
            info.guide.policy_logits.data.fill_(torch.nan)

    model = TabularModel(frozen_lake(), 0.1)
    found = fit(model, FreeGuide(model), callbacks=[ruin])
    assert found.status is FitStatus.not_finite
    assert "Lower the learning rate" in found.status.message
    assert found.num_steps == 100
    assert all(parameter.isfinite().all() for parameter in found.guide.parameters())
    assert elbo(model, found.guide.blocks()).item() >= found.elbo_history[-1]


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("on_disk", [False, True])
def test_a_resumed_fit_equals_an_uninterrupted_one_bit_for_bit(tmp_path, sampled, on_disk):
    model = TabularModel(random_mdp(seed=1))

    def loss():
        return Trace_ELBO(num_particles=8, vectorize_particles=True, max_plate_nesting=0) if sampled else None

    whole = fit(model, FreeGuide(model), loss=loss(), num_steps=60, seed=3)
    part = fit(model, FreeGuide(model), loss=loss(), num_steps=25, seed=3)
    torch.manual_seed(99)  # other random numbers drawn in between must not matter
    if on_disk:
        part.save(tmp_path / "part.pt")
    rest = fit(model, FreeGuide(model), loss=loss(), num_steps=60, resume=tmp_path / "part.pt" if on_disk else part)
    assert torch.equal(rest.elbo_history, whole.elbo_history)
    for ours, theirs in zip(rest.guide.parameters(), whole.guide.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_resume_from_the_checkpoint_of_a_killed_run(tmp_path):
    model, path = TabularModel(random_mdp(seed=1)), tmp_path / "fit.pt"

    class PowerCut(BaseException):
        """No exception that a program catches, so that nothing is written any more."""

    def crash(info):
        if info.step == 37:
            raise PowerCut

    with pytest.raises(PowerCut):
        fit(model, FreeGuide(model), checkpoint=path, checkpoint_every=10, callbacks=[crash])
    assert len(Checkpoint.load(path).elbo_history) == 30
    rest = fit(model, FreeGuide(model), num_steps=60, resume=path)
    assert torch.equal(rest.elbo_history, fit(model, FreeGuide(model), num_steps=60).elbo_history)


def test_schedulers_are_resumed_too(tmp_path):
    model = TabularModel(random_mdp(seed=1))

    def scheduled():
        arguments = {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.5}, "gamma": 0.9}
        return PyroLRScheduler(torch.optim.lr_scheduler.ExponentialLR, arguments)

    def run(steps, **more):
        optim = scheduled()
        return fit(
            model, ClampedGuide(model), optim=optim, num_steps=steps, callbacks=[lambda info: optim.step()], **more
        )

    whole, part = run(40), run(15)
    part.save(tmp_path / "part.pt")
    assert torch.equal(run(40, resume=tmp_path / "part.pt").elbo_history, whole.elbo_history)


def test_a_checkpoint_is_tensors_and_json(tmp_path):
    model, path = TabularModel(gamble()), tmp_path / "deep" / "fit.pt"
    fit(model, FreeGuide(model), num_steps=3).save(path)
    content = torch.load(path, weights_only=True)
    assert set(content) == {"tensors", "json"}
    assert set(content["tensors"]) == {"parameters", "optimiser", "elbo_history", "random"}
    assert [file.name for file in path.parent.iterdir()] == ["fit.pt"]


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    model, path = TabularModel(gamble()), tmp_path / "fit.pt"
    found = fit(model, FreeGuide(model), num_steps=3)
    found.save(path)
    old = path.read_bytes()

    def full(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        found.save(path)
    assert path.read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == ["fit.pt"]


def test_unreadable_checkpoints_are_refused(tmp_path):
    model, path = TabularModel(gamble()), tmp_path / "fit.pt"
    with pytest.raises(InvalidCheckpoint, match="no checkpoint at"):
        fit(model, FreeGuide(model), resume=path)
    fit(model, FreeGuide(model), num_steps=3).save(path)
    whole = path.read_bytes()
    for broken in (b"", b"not a checkpoint", whole[: len(whole) // 2]):
        path.write_bytes(broken)
        with pytest.raises(InvalidCheckpoint, match="not a whole checkpoint"):
            fit(model, FreeGuide(model), resume=path)
    torch.save({"something": "else"}, path)
    with pytest.raises(InvalidCheckpoint, match="not a whole checkpoint"):
        fit(model, FreeGuide(model), resume=path)


def test_resuming_another_fit_is_refused():
    model = TabularModel(gamble())
    past = fit(model, FreeGuide(model), num_steps=3)
    with pytest.raises(InvalidCheckpoint, match="guide was FreeGuide, but here it is ClampedGuide"):
        fit(model, ClampedGuide(model), resume=past)
    warmer = TabularModel(gamble(), 2.0)
    with pytest.raises(InvalidCheckpoint, match="its model was"):
        fit(warmer, FreeGuide(warmer), resume=past)


def test_a_seed_does_not_change_the_global_generator():
    model = TabularModel(gamble())
    loss = Trace_ELBO(num_particles=8, vectorize_particles=True, max_plate_nesting=0)
    state = torch.get_rng_state()
    first = fit(model, FreeGuide(model), loss=loss, num_steps=5, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(7)
    assert torch.equal(fit(model, FreeGuide(model), loss=loss, num_steps=5, seed=1).elbo_history, first.elbo_history)
    assert not torch.equal(
        fit(model, FreeGuide(model), loss=loss, num_steps=5, seed=2).elbo_history, first.elbo_history
    )


def test_guides_share_no_parameters():
    model = TabularModel(gamble())
    one, other = FreeGuide(model), FreeGuide(model)
    fit(model, one, num_steps=10)
    assert other.policy_logits.abs().max() == 0
    assert not dict(pyro.get_param_store())


def test_a_plain_pyro_guide_falls_back_to_sampling():
    class Own(PyroModule):
        def __init__(self):
            super().__init__()
            self.logits = PyroParam(torch.zeros(3))

        def forward(self):
            with pyro.settings.context(module_local_params=True):
                pyro.sample("x", dist.Categorical(logits=self.logits))

    def model():
        x = pyro.sample("x", dist.Categorical(logits=torch.zeros(3)))
        pyro.factor("score", torch.tensor([0.0, 1.0, 2.0])[x])

    guide = Own()
    assert type(default_loss(model, guide)) is Trace_ELBO
    assert fit(model, guide, num_steps=20, seed=0).num_steps == 20


def test_a_guide_function_keeps_its_parameters_in_pyros_store_and_resumes():
    def model():
        x = pyro.sample("x", dist.Categorical(logits=torch.zeros(3)))
        pyro.factor("score", torch.tensor([0.0, 1.0, 2.0])[x])

    def guide():
        probs = pyro.param("probs", torch.ones(3) / 3, constraint=dist.constraints.simplex)
        pyro.sample("x", dist.Categorical(probs=probs))

    def run(steps, **more):
        pyro.clear_param_store()
        return fit(model, guide, loss=TraceEnum_ELBO(max_plate_nesting=0), num_steps=steps, **more)

    whole = run(50)
    assert torch.equal(run(50, resume=run(20)).elbo_history, whole.elbo_history)
    found = pyro.param("probs").detach()
    torch.testing.assert_close(found, torch.softmax(torch.tensor([0.0, 1.0, 2.0]), -1), atol=0.05, rtol=0)
    pyro.clear_param_store()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_steps": 0}, "`num_steps` must be a whole number, at least 1, but is 0"),
        ({"checkpoint_every": 0}, "`checkpoint_every` must be a whole number"),
        ({"tolerance": -1.0}, "`tolerance` must be a number of nats"),
        ({"tolerance": float("nan")}, "`tolerance` must be a number of nats"),
        ({"seed": 1, "resume": "somewhere"}, "`seed` and `resume` exclude each other"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    model = TabularModel(gamble())
    with pytest.raises(ValueError, match=message):
        fit(model, FreeGuide(model), **arguments)


@pytest.mark.parametrize("method", ["svi", "natural_gradient", "exact"])
def test_prints_and_progress_name_the_objective_of_a_guide_with_optimism(method):
    model, shown = TabularModel(gamble()), []
    found = fit(
        model, DialGuide(model, 0.3), method=method, num_steps=5, progress=lambda _, metrics: shown.append(metrics)
    )
    assert found.objective_name == "objective J_β"
    assert found.elbo is not None
    assert (
        f"Fit(ELBO {found.elbo:.6f} nats of a guide fitted to the objective J_β after {found.num_steps} steps"
        in str(found)
    )
    assert "ELBO" not in found.status.message
    assert [each["objective J_β"] for each in shown] == found.elbo_history.tolist()
    free = fit(model, DialGuide(model, 1.0), method=method, num_steps=5)
    assert free.objective_name == "ELBO"
    assert f"Fit(ELBO {free.elbo:.6f} nats after" in str(free)


def test_a_posterior_needs_no_fit():
    model = TabularModel(gamble())
    with pytest.raises(ValueError, match="needs no fit"):
        fit(model, infer(model, 1.0))


class Bare(torch.nn.Module):
    """A guide that is not a PyroModule."""

    def __init__(self):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.zeros(1, 2, dtype=torch.float64))

    def forward(self):
        mdp = gamble()
        state = pyro.sample("state_0", dist.Categorical(logits=mdp.initial.log()))
        action = pyro.sample("action_0", dist.Categorical(logits=self.logits[state]))
        pyro.sample("outcome_0", dist.Categorical(logits=mdp.probability.log()[state, action]))
        pyro.sample("state_1", dist.Categorical(logits=mdp.initial.log()))


def test_a_bare_module_is_fitted_too():
    model, guide = TabularModel(gamble()), Bare()
    fit(model, guide, loss=TraceEnum_ELBO(max_plate_nesting=0), num_steps=300)
    torch.testing.assert_close(guide.logits.detach().softmax(-1), infer(model, 0.0).policy[0], atol=1e-2, rtol=0)


def test_a_model_with_other_numbers_is_another_model():
    model = TabularModel(gamble())
    past = fit(model, FreeGuide(model), num_steps=3)
    for other in (TabularModel(gamble(wage=1.5)), TabularModel(gamble(), 1.0 + 1e-9)):
        with pytest.raises(InvalidCheckpoint, match="its model was"):
            fit(other, FreeGuide(other), resume=past)


def test_pairs_that_cannot_be_fitted_are_refused_before_the_first_step():
    model, longer = TabularModel(gamble(horizon=2)), TabularModel(gamble(horizon=3))

    class Unnormalised(MarkovGuide):
        def __init__(self, model):
            super().__init__(model)
            self.logits = torch.nn.Parameter(torch.ones_like(model.action_prior))

        def blocks(self):
            prior = self.model.blocks()
            return prior.replace(log_policy=prior.log_policy + self.logits)

    with pytest.raises(InvalidGuide, match="must hold normalised log-probabilities"):
        fit(model, Unnormalised(model))
    with pytest.raises(InvalidGuide, match=r"must have shape .* Build the guide from the same model"):
        fit(model, FreeGuide(longer))
    with pytest.raises(InvalidArgument, match="The order is fit\\(model, guide\\)"):
        fit(FreeGuide(model), model)
    with pytest.raises(InvalidArgument, match="`model` must have a positive temperature"):
        fit(TabularModel(gamble(), 0.0), FreeGuide(TabularModel(gamble(), 1.0)))
    with pytest.raises(InvalidGuide, match="must sample the sites of the model"):
        fit(model, Bare(), loss=MarkovELBO())


def test_an_mdp_is_not_a_model():
    with pytest.raises(
        InvalidArgument, match=r"`model` must be a tabular model, such as TabularModel\(mdp, temperature\)"
    ):
        require_model(gamble())
    with pytest.raises(InvalidArgument, match="but is the class TabularModel"):
        require_model(TabularModel)
    with pytest.raises(InvalidArgument, match=r"`guide` .* is the class FreeGuide\. Pass FreeGuide\(model\)\."):
        fit(TabularModel(gamble()), FreeGuide)  # pyright: ignore[reportArgumentType]


def test_em_is_a_method_of_fit_that_stops_and_resumes(tmp_path):
    from pgm_control.guides import NeuralGuide

    model = TabularModel(random_mdp(seed=0, horizon=4), 0.7)
    best = infer(model, 0.0).objective
    torch.manual_seed(0)
    start = NeuralGuide(model, hidden=(16,)).state_dict()

    def fresh():
        guide = NeuralGuide(model, hidden=(16,))
        guide.load_state_dict(start)
        return guide

    whole = fit(model, fresh(), method="em", num_steps=30, tolerance=1e-8)
    assert whole.elbo == pytest.approx(best, abs=1e-3)
    fit(model, fresh(), method="em", num_steps=2, checkpoint=tmp_path / "two.pt")
    rest = fit(model, fresh(), method="em", num_steps=30, tolerance=1e-8, resume=tmp_path / "two.pt")
    assert torch.equal(rest.elbo_history, whole.elbo_history)


def test_guides_without_parameters_are_refused_by_svi_and_em():
    from pgm_control.guides import DeterministicGuide

    model = TabularModel(gamble())
    with pytest.raises(InvalidArgument, match=r'gradient can move for method="svi", but DeterministicGuide has none'):
        fit(model, DeterministicGuide(model))
    with pytest.raises(InvalidArgument, match=r'`guide` must have torch parameters for method="em"'):
        fit(model, DeterministicGuide(model), method="em")
    with pytest.raises(InvalidArgument, match=r'`model` must be tabular for method="em"'):
        fit(lambda: None, DeterministicGuide(model), method="em")


def test_checkpoints_share_the_history():
    """A fit keeps one number a step; what a checkpoint has taken is not changed by later steps."""
    history = History()
    assert len(history.taken()) == 0
    taken = []
    for step in range(1000):
        history.append(float(step))
        if step % 300 == 0:
            taken.append((step, history.taken()))
    for step, each in taken:
        assert each.tolist() == list(range(step + 1))
        assert each.untyped_storage().nbytes() == 8 * (step + 1)  # what a file of it holds
    assert taken[-1][1].data_ptr() == history.taken().data_ptr()
    assert (history[-1], history[:2], len(history)) == (999.0, [0.0, 1.0], 1000)
    again = History(history.taken())
    again.append(5.0)
    assert len(history) == 1000
    assert again[-2:] == [999.0, 5.0]
