"""Tempering that was interrupted and resumed, compared with tempering that was not."""

import functools

import pyro.distributions as dist
import pytest
import torch
from watched_demonstrators import FEATURE, MILD, watched

from pgm_control import TabularModel
from pgm_control.errors import InvalidArgument, InvalidCheckpoint
from pgm_control.inverse_rl import DialDemonstrator, LinearReward, reward_posterior
from pgm_control.inverse_rl.bayesian import tempering

ASKED = {"prior": 2.0, "optimism": dist.Normal(0.2, 0.6), "num_samples": 50}


class Stopped(Exception):
    """An interruption by the caller."""


@functools.cache
def case():
    model, demonstrations = watched(60)
    return model, demonstrations, LinearReward(model.mdp, FEATURE), MILD


@pytest.fixture
def interrupted(tmp_path):
    """The checkpoint of a run with seed 3 that was stopped after its first step."""

    def stop(step, metrics):
        if step == 1:
            raise Stopped

    path = tmp_path / "tempering.pt"
    with pytest.raises(Stopped):
        reward_posterior(*case(), **ASKED, seed=3, checkpoint=path, progress=stop)
    return path


def test_a_resumed_run_equals_one_that_never_stopped(interrupted, tmp_path):
    """Bit for bit; torch's global generator is left as it was, and a finished run resumes to its result."""
    before, ended, steps = torch.get_rng_state(), tmp_path / "ended.pt", []
    whole = reward_posterior(*case(), **ASKED, seed=3)
    rest = reward_posterior(
        *case(), **ASKED, resume=interrupted, checkpoint=ended, progress=lambda step, metrics: steps.append(step)
    )
    again = reward_posterior(*case(), **ASKED, resume=str(ended))
    assert steps[0] == 2
    for each in (rest, again):
        assert torch.equal(each.draws, whole.draws)
        assert torch.equal(each.effective_draws, whole.effective_draws)
        assert each.log_evidence == whole.log_evidence
    assert torch.equal(torch.get_rng_state(), before)
    assert again.seconds >= 0


@pytest.mark.parametrize(
    ("place", "other", "named"),
    [
        (0, lambda: TabularModel(case()[0].mdp, 0.8), "model"),
        (1, lambda: watched(61)[1], "demonstrations"),
        (2, lambda: LinearReward(case()[0].mdp, 2.0 * FEATURE), "reward"),
        (3, lambda: DialDemonstrator(0.25, "believed"), "demonstrator"),
        ("prior", lambda: 1.0, "prior of psi"),
        ("optimism", lambda: dist.Normal(0.2, 0.5), "prior of optimism"),
        ("temperature", lambda: dist.LogNormal(0.0, 1.0), "prior of temperature"),
        ("num_samples", lambda: 60, "num_samples"),
    ],
)
def test_another_run_is_not_resumed(interrupted, place, other, named):
    given, asked = list(case()), dict(ASKED)
    (given if isinstance(place, int) else asked)[place] = other()
    with pytest.raises(InvalidCheckpoint, match=f"its {named} was"):
        reward_posterior(*given, **asked, resume=interrupted)


def test_a_damaged_or_missing_checkpoint_is_refused(interrupted, tmp_path):
    content = bytearray(interrupted.read_bytes())
    content[len(content) // 2] ^= 1
    interrupted.write_bytes(content)
    for path in (interrupted, tmp_path / "none.pt"):
        with pytest.raises(InvalidCheckpoint, match="without `resume`"):
            reward_posterior(*case(), **ASKED, resume=path)


def test_checkpoints_are_for_tempering_and_exclude_a_seed(tmp_path):
    for name in ("checkpoint", "resume"):
        with pytest.raises(InvalidArgument, match=f"`{name}` must be None"):
            reward_posterior(*case(), **ASKED, method="laplace", **{name: tmp_path / "x.pt"})
    with pytest.raises(InvalidArgument, match="exclude each other"):
        reward_posterior(*case(), **ASKED, seed=1, resume=tmp_path / "x.pt")
    with pytest.raises(InvalidArgument, match="is a folder"):
        reward_posterior(*case(), **ASKED, checkpoint=tmp_path)


def test_resampled_draws_are_not_evaluated_again(monkeypatch):
    """Without moves, the draws of the prior are the only ones that are evaluated."""
    counted, evaluated = [], tempering.evaluated
    monkeypatch.setattr(tempering, "evaluated", lambda *given: counted.append(given) or evaluated(*given))
    monkeypatch.setattr(tempering, "moved", lambda coordinates, u, state, *_: (u, state, 1.0))
    reward_posterior(*case(), **ASKED, seed=0)
    assert len(counted) == 1
