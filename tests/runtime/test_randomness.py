"""Seeds: an integer, a generator or None mean the same in every function, and the global state is not changed."""

import gymnasium
import numpy as np
import pytest
import torch
from pyro.infer import Trace_ELBO

from pgm_control import (
    ClampedGuide,
    TabularModel,
    TabularPolicy,
    check_against_env,
    compare,
    conditional_smc,
    estimate,
    estimate_elbo,
    fit,
    infer,
    iwae_bound,
    log_weights,
    rollout,
    smc,
)
from pgm_control.environments.discretise import discretise
from pgm_control.errors import InvalidArgument
from pgm_control.guides import ImportanceGuide, MixtureGuide, OpenLoopGuide, SMCGuide
from pgm_control.inverse_rl import Demonstrations, compare_demonstrators, reward_posterior
from pgm_control.inverse_rl.data import record
from pgm_control.learners import SoftQLearning
from pgm_control.models import SimulatorModel, risky_path
from pgm_control.problems.mdp import TabularMDP
from pgm_control.runtime.randomness import generator_of, integer_of, seeded
from pgm_control.testing import check_guide, check_model

MODEL = TabularModel(risky_path(), 20.0)
ENV = "pgm_control/RiskyPath-v0"
LAKE = TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1"))
POSTERIOR = infer(MODEL, 0.0)
MIXTURE = MixtureGuide.apart(MODEL, OpenLoopGuide, 2, seed=3)
DRAWN = POSTERIOR.sample(20, seed=0)
SEEN = Demonstrations.from_trajectories(MODEL.mdp, DRAWN)
REFERENCE = POSTERIOR.sample(1, seed=0)
LEARNER = SoftQLearning(ENV, hidden=(4,), seed=0)
RANDOM = torch.full((17, 4), 0.25, dtype=torch.float64)


def _program():
    """A guide without blocks, which Pyro runs."""
    ClampedGuide(MODEL)()


def _network(seed):
    return SoftQLearning(ENV, hidden=(4,), seed=seed).critic.flat


CALLS = {
    "sample": lambda seed: POSTERIOR.sample(5, seed).actions,
    "log_weights": lambda seed: log_weights(MODEL, MIXTURE, 5, seed),
    "log_weights of a program": lambda seed: log_weights(MODEL, _program, 5, seed),
    "estimate": lambda seed: estimate(MODEL, MIXTURE, 5, seed).elbo.mean,
    "estimate_elbo": lambda seed: estimate_elbo(MODEL, MIXTURE, 5, seed).mean,
    "iwae_bound": lambda seed: iwae_bound(MODEL, MIXTURE, 3, 5, seed).mean,
    "smc": lambda seed: smc(MODEL, MIXTURE, 5, seed=seed).trajectories.states,
    "conditional_smc": lambda seed: conditional_smc(MODEL, MIXTURE, REFERENCE, 5, seed=seed).trajectories.states,
    "SMC.sample": lambda seed: smc(MODEL, MIXTURE, 50, seed=0).sample(9, seed).states,
    "ImportanceGuide": lambda seed: ImportanceGuide(MODEL, MIXTURE, 3).bound(5, seed).mean,
    "SMCGuide": lambda seed: SMCGuide(MODEL, MIXTURE, 3).sample(5, seed).states,
    "marginals": lambda seed: SMCGuide(MODEL, MIXTURE, 3).marginals(5, seed).state,
    "apart": lambda seed: next(MixtureGuide.apart(MODEL, OpenLoopGuide, 2, seed=seed).guides[0].parameters()),
    "MixtureGuide.elbo": lambda seed: MIXTURE.elbo(20, seed).mean,
    "fit": lambda seed: fit(MODEL, ClampedGuide(MODEL), loss=Trace_ELBO(), num_steps=2, seed=seed).elbo_history,
    "TabularPolicy": lambda seed: TabularPolicy(RANDOM, seed).predict(np.zeros(30, int))[0],
    "rollout": lambda seed: rollout("FrozenLake-v1", RANDOM, 5, seed=seed).lengths,
    "record": lambda seed: record("FrozenLake-v1", RANDOM, 3, seed)[0].acts,
    "check_against_env": lambda seed: check_against_env(LAKE, gymnasium.make("FrozenLake-v1"), 300, seed).statistic,
    "discretise": lambda seed: discretise("MountainCar-v0", 4, num_samples=2, num_resets=9, seed=seed).mdp.reward,
    "SimulatorModel": lambda seed: SimulatorModel(ENV, seed=seed).seed,
    "learner": lambda seed: _network(seed).detach(),
    "Learner.evaluate": lambda seed: LEARNER.evaluate(30, seed, deterministic=False).returns,
    "reward_posterior": lambda seed: reward_posterior(
        MODEL, SEEN, prior=1.0, method="laplace", num_samples=8, seed=seed
    ).mean,
    "compare_demonstrators": lambda seed: compare_demonstrators(
        MODEL, SEEN, prior=1.0, method="laplace", num_samples=8, seed=seed
    ).posteriors[0].mean,
}  # fmt: skip


def numbers(found):
    """The result as an array, with names left out."""
    if isinstance(found, dict):
        return np.concatenate([np.ravel(numbers(each)) for each in found.values()])
    return found.detach().numpy().copy() if isinstance(found, torch.Tensor) else np.array(found)


@pytest.mark.wrong_types
@pytest.mark.parametrize("name", CALLS)
def test_integers_and_generators_repeat_the_numbers_and_keep_the_global_state(name):
    call, before, legacy = CALLS[name], torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    np.testing.assert_array_equal(numbers(call(5)), numbers(call(5)))
    np.testing.assert_array_equal(numbers(call(np.int64(5))), numbers(call(5)))
    one, two = (torch.Generator().manual_seed(8) for _ in range(2))
    first = numbers(call(one))
    np.testing.assert_array_equal(first, numbers(call(two)))
    later = [numbers(call(one)) for _ in range(4)]
    assert any(each.shape != first.shape or (each != first).any() for each in later), "a generator advances"
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == legacy).all()  # noqa: NPY002


@pytest.mark.parametrize("name", CALLS)
def test_none_draws_from_the_global_generator_of_torch(name):
    call, found = CALLS[name], []
    with torch.random.fork_rng(devices=[]):
        for _ in range(2):
            torch.manual_seed(4)
            before = torch.get_rng_state()
            found.append(numbers(call(None)))
            assert not torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(*found)


@pytest.mark.wrong_types
@pytest.mark.parametrize("name", [*CALLS, "compare", "check_model", "check_guide"])
@pytest.mark.parametrize("seed", ["a", -1, True, 0.5, 2**63])
def test_invalid_seeds_are_refused(name, seed):
    others = {
        "compare": lambda seed: compare(MODEL, num_steps=1, seed=seed),
        "check_model": lambda seed: check_model(MODEL, seed),
        "check_guide": lambda seed: check_guide(MODEL, ClampedGuide(MODEL), seed),
    }
    with pytest.raises(InvalidArgument, match=r"`seed` must be a whole number, at least 0 and below 2\*\*63, a torch"):
        {**CALLS, **others}[name](seed)


def test_a_generator_is_used_as_it_is():
    generator = torch.Generator().manual_seed(3)
    assert generator_of(generator) is generator
    assert generator_of(None) is None
    own = generator_of(3)
    assert own is not None
    assert torch.equal(own.get_state(), torch.Generator().manual_seed(3).get_state())
    with pytest.raises(
        InvalidArgument, match="`seed` must be a generator on cuda, where the numbers are drawn, but is"
    ):
        generator_of(generator, "cuda")


def test_an_integer_is_drawn_for_libraries_that_need_one():
    assert integer_of(7) == 7
    generator, again = (torch.Generator().manual_seed(3) for _ in range(2))
    one, two = integer_of(generator), integer_of(generator)
    assert one != two
    assert (one, two) == (integer_of(again), integer_of(again))
    assert 0 <= min(one, two) <= max(one, two) < 2**31


def test_seeded_restores_the_global_generator_after_an_error():
    before = torch.get_rng_state()

    def fail():
        with seeded(3):
            assert torch.equal(torch.rand(2), torch.rand(2, generator=torch.Generator().manual_seed(3)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.equal(torch.get_rng_state(), before)


def test_compare_counts_the_steps_of_both_fits():
    seen = []
    compare(MODEL, num_steps=3, progress=lambda step, metrics: seen.append((step, *metrics)), seed=0)
    assert seen == [*((n, "free_elbo") for n in (1, 2, 3)), *((n, "clamped_elbo") for n in (4, 5, 6))]
