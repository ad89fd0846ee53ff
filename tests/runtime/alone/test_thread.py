"""Threads of one process: fits and learners beside each other are refused by name, and all else gives the same."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pyro
import pyro.distributions as dist
import pytest
import torch
from problems import random_mdp
from pyro.infer import Trace_ELBO

from pgm_control import (
    ClampedGuide,
    FreeGuide,
    NeuralGuide,
    PGMControlError,
    TabularModel,
    UsedByAnotherThread,
    evaluate,
    fit,
    infer,
    soft_values,
    value_iteration,
)
from pgm_control.learners import SoftQLearning
from pgm_control.models import frozen_lake, risky_path
from pgm_control.programs.run import run_with
from pgm_control.runtime.alone import thread
from pgm_control.runtime.alone.thread import alone
from pgm_control.runtime.randomness import seeded


@pytest.fixture
def meanwhile():
    """Call a function in another thread, and return its result or raise its error."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda function: pool.submit(function).result(timeout=120)


def model_and_guide(kind=ClampedGuide):
    model = TabularModel(risky_path(), 0.7)
    return model, kind(model)


def within_a_fit(call, **settings):
    """What a call in a callback of a fit gives, or its error."""
    found = []

    def once(_):
        try:
            found.append(call())
        except PGMControlError as problem:
            found.append(problem)
        return True

    fit(*model_and_guide(), num_steps=1, callbacks=[once], **settings)
    return found[0]


def small_fit(method="svi", kind=ClampedGuide, **settings):
    model, guide = model_and_guide(kind)
    return fit(model, guide, method=method, num_steps=3, **settings).elbo_history.tolist()


def learner():
    return SoftQLearning("pgm_control/RiskyPath-v0", hidden=(4,), learning_starts=8, batch_size=8, seed=0)


def test_a_second_thread_that_fits_is_refused_by_name(meanwhile):
    found = within_a_fit(lambda: meanwhile(small_fit))
    assert isinstance(found, UsedByAnotherThread)
    assert str(found) == (
        "`fit` must not run while `fit` is running in another thread of this process: Pyro's handlers and parameters, "
        "and torch's random numbers, are one for all threads. Use processes, or run one after another."
    )


@pytest.mark.parametrize("settings", [{"loss": Trace_ELBO()}, {"method": "em", "kind": NeuralGuide}, {"seed": 0}])
def test_every_fit_that_uses_pyro_or_seeds_is_refused_beside_another(settings, meanwhile):
    assert isinstance(within_a_fit(lambda: meanwhile(lambda: small_fit(**settings))), UsedByAnotherThread)


def test_a_learner_beside_a_fit_is_refused_and_learns_afterwards(meanwhile):
    it = learner()
    assert isinstance(within_a_fit(lambda: meanwhile(lambda: it.learn(20))), UsedByAnotherThread)
    other = learner()
    it.learn(20)
    other.learn(20)
    assert all(map(torch.equal, it.critic.parameters(), other.critic.parameters()))


def test_a_fit_beside_a_learner_is_refused(meanwhile):
    found = []

    def once(_):
        with pytest.raises(UsedByAnotherThread, match="`fit` must not run while `learn` is running"):
            meanwhile(small_fit)
        found.append(True)

    learner().learn(20, log_every=10, callbacks=[once])
    assert found


@pytest.mark.parametrize("method", ["exact", "natural_gradient"])
def test_exact_fits_run_beside_any(method, meanwhile):
    alone_ = small_fit(method, kind=FreeGuide)
    assert within_a_fit(lambda: meanwhile(lambda: small_fit(method, kind=FreeGuide))) == alone_


def test_calls_inside_a_callback_of_the_same_thread_are_allowed():
    plain = small_fit(seed=1)
    assert within_a_fit(lambda: small_fit(seed=1)) == plain
    assert within_a_fit(lambda: learner().learn(12).total_steps) == 12


def test_a_fit_that_fails_leaves_the_turn_to_others(meanwhile):
    def fails(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(*model_and_guide(), num_steps=2, callbacks=[fails])
    assert meanwhile(small_fit) == small_fit()


def test_programs_of_two_threads_do_not_see_each_other():
    """Each run stays inside for a moment; without turns the handlers of one would record the sites of the other."""

    def run(name):
        def program():
            for i in range(5):
                pyro.sample(f"{name}_{i}", dist.Normal(0.0, 1.0))
                time.sleep(0.002)

        return [set(run_with(program, {})) for _ in range(5)]

    with ThreadPoolExecutor(4) as pool:
        for name, runs in zip("abcd", pool.map(run, "abcd"), strict=True):
            assert all(each == {f"{name}_{i}" for i in range(5)} for each in runs)


def test_seeded_numbers_of_threads_are_those_of_one_thread():
    def draws(seed):
        with seeded(seed):
            found = []
            for _ in range(20):
                found.append(float(torch.rand(())))
                time.sleep(0.0005)
            return found

    expected, before = [draws(seed) for seed in range(8)], torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draws, range(8))) == expected
    assert torch.equal(torch.get_rng_state(), before)


def test_exact_answers_of_four_threads_are_those_of_one_bit_for_bit():
    models = [TabularModel(random_mdp(seed=seed, horizon=6), 0.5) for seed in range(6)]
    models.append(TabularModel(frozen_lake(horizon=12), 0.1))

    def answers(model):
        reward = model.mdp.reward.clone().requires_grad_()
        soft = soft_values(model, torch.tensor([0.0, 0.5, 1.0]), reward=reward)
        (slope,) = torch.autograd.grad(soft.objective.sum(), reward)
        found = infer(model, 0.0)
        long = value_iteration(TabularModel(model.mdp.replace(discount=0.9), 0.5), 0.5)
        guide = FreeGuide(model)
        history = fit(model, guide, method="natural_gradient", num_steps=2).elbo_history
        scores = evaluate(model, guide)
        return [slope, soft.objective.detach(), found.policy, long.v, history, torch.tensor(scores.true_return)]

    expected = [answers(model) for model in models]
    with ThreadPoolExecutor(4) as pool:
        for given, found in zip(expected * 3, pool.map(answers, models * 3), strict=True):
            assert all(torch.equal(one, other) for one, other in zip(given, found, strict=True))


def test_a_short_use_that_does_not_end_is_an_error_and_no_deadlock(monkeypatch, meanwhile):
    monkeypatch.setattr(thread, "_PATIENCE", 0.1)
    with alone(), pytest.raises(UsedByAnotherThread, match="a computation has been running for 0 s in another thread"):
        meanwhile(lambda: small_fit(seed=0))


def test_who_waits_for_a_short_use_that_becomes_long_is_refused_at_once():
    inside, refused = threading.Event(), []

    def other():
        inside.wait()
        try:
            small_fit(seed=0)
        except UsedByAnotherThread as problem:
            refused.append(problem)

    waiter = threading.Thread(target=other)
    waiter.start()
    with alone():
        inside.set()
        time.sleep(0.2)
        with alone("learn"):
            waiter.join(timeout=30)
    assert len(refused) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_is_forked_while_another_thread_fits_is_free():
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with alone("fit"):
            entered.set()
            leave.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait()
    child = os.fork()
    if not child:
        signal.alarm(30)
        with alone("fit"):
            os._exit(7)
    _, status = os.waitpid(child, 0)
    leave.set()
    holder.join()
    assert os.waitstatus_to_exitcode(status) == 7
