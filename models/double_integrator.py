"""The double integrator: a mass on a line, pushed under noise."""

from pgm_control.problems.continuous.linear_quadratic import LinearQuadratic

HAND = 4.0  # the variance of the action prior
_STEP = 0.2


def double_integrator(horizon: int = 20) -> LinearQuadratic:
    r"""Push a mass back to 0, where it rests; position and speed are noisy.

    The free posterior leaves some of the work to the noise, which it believes to push towards 0.

    Joint density
        $$\tilde p = N(s_0; m_0, S_0) \prod_{t=0}^{T-1} N(a_t; 0, U)\, N(s_{t+1}; A s_t + B a_t, W)\,
            \exp(r(s_t, a_t)/\tau)$$

    States
        Position x and speed v. The start is N((2, 0), .1 I).

    Actions
        A push. The prior of the entry of the zoo is N(0, 4).

    Dynamics
        $x' = x + .2\, v + w_x$, $v' = v + .2\, a + w_v$ with variances .01 and .05 of the noise.

    Rewards
        $-\tfrac12 (x^2 + .1\, v^2 + .1\, a^2)$ at each step.

    Horizon
        T = `horizon` actions. Nothing ends the episode earlier.

    Known exactly
        At τ = 1, by `infer`: free −13.68924369 nats, clamped −21.84852944; free imagines −7.52 and truly earns −19.14,
        clamped −16.88. Below β* = −.7956 an adversary of the start is unbounded.

    Args:
        horizon: T.
    """
    return LinearQuadratic(
        A=[[1.0, _STEP], [0.0, 1.0]],
        B=[[0.0], [_STEP]],
        W=[[0.01, 0.0], [0.0, 0.05]],
        C=[[1.0, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.1]],
        horizon=horizon,
        initial_mean=[2.0, 0.0],
        initial_covariance=[[0.1, 0.0], [0.0, 0.1]],
        state_names=("position", "speed"),
        action_names=("push",),
    )
