"""The standard error of runs that resample at every step, and lookaheads that write into their argument."""

import numpy as np
import pytest

from pgm_control import LinearQuadratic, LinearQuadraticModel, infer, smc


def test_the_standard_error_is_that_of_the_spread():
    """With a lookahead the last weights are equal, so that the error shows in the families alone."""
    problem = LinearQuadratic.from_cost(0.9, 0.5, 1.0, 0.2, 0.3, horizon=4, initial_mean=1.0, initial_covariance=0.2)
    model = LinearQuadraticModel(problem, action_prior=[[1.0]])
    proposal, best = infer(model, 0.0), infer(model, 1.0)
    runs = [smc(model, proposal, 100, seed=i, threshold=1.0, lookahead=best.lookahead()) for i in range(16)]
    spread = np.std([each.log_evidence for each in runs], ddof=1)
    claimed = np.sqrt(np.mean([each.standard_error**2 for each in runs]))
    assert 0.5 * spread < claimed < 2.0 * spread

    def writing(t, state):
        return best.v(t, state.mul_(1.0)) + 0.0 * state.zero_()[:, 0]

    again = smc(model, proposal, 100, seed=0, threshold=1.0, lookahead=writing)
    assert again.log_evidence == pytest.approx(runs[0].log_evidence, rel=1e-12)
