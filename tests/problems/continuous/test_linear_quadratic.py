"""Linear-quadratic problems: what is stored, what is refused, sampled time, references."""

import numpy as np
import pytest
import torch
from linear_quadratics import scalar

from pgm_control import GaussianPrior, InvalidProblem, LinearQuadratic, LinearQuadraticModel, infer

EYE = np.eye(2)


def make(**changes):
    given = {"A": EYE, "B": [[0.0], [1.0]], "W": EYE, "C": np.eye(3), "horizon": 4, "initial_mean": [0.0, 0.0]}
    return LinearQuadratic(**(given | changes))


def test_axes():
    problem = make(A=np.broadcast_to(EYE, (4, 2, 2)), W=np.broadcast_to(EYE, (5, 1, 2, 2)))
    assert problem.batch_shape == (5,)
    assert problem.A.shape == problem.W.shape == (5, 4, 2, 2)
    assert problem.B.shape == (5, 4, 2, 1)
    assert problem[3].batch_shape == ()
    assert make().replace(horizon=9).horizon == 9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"A": np.zeros((2, 3))}, r"`A` must be square"),
        ({"B": np.zeros((3, 1))}, r"`B` must have shape \(2, 'any'\), with an axis of time"),
        ({"W": [[1.0, 0.0], [0.5, 1.0]]}, "`W` must be symmetric, but differs from its transpose by 0.5"),
        (
            {"W": [[1.0, 0.0], [0.0, -1.0]]},
            "`W` must be a covariance, positive semidefinite, but has the eigenvalue -1",
        ),
        ({"C": np.eye(2)}, r"`C` must have shape \(3, 3\)"),
        ({"C": np.triu(np.ones((3, 3)))}, "`C` must be symmetric"),
        ({"C": np.full((3, 3), np.nan)}, r"`C` must hold finite numbers, but entry \(0, 0\) is nan"),
        ({"A": np.broadcast_to(EYE, (3, 2, 2))}, "`A` must have one entry for each of the 4 steps"),
        ({"horizon": 0}, "`horizon` must be a whole number of actions"),
        ({"discount": 1.5}, "`discount` must be the probability of surviving a step"),
        ({"initial_mean": [0.0]}, r"`initial_mean` must have shape \(2,\)"),
        ({"final_cost": (EYE, [0.0, 0.0])}, r"`final_cost` must be a matrix P_T or \(P_T, p_T, v_T\), but has 2 parts"),
        ({"initial_covariance": -EYE}, "`initial_covariance` must be a covariance"),
        ({"W": np.ones((3, 1, 2, 2)), "A": np.ones((2, 1, 2, 2))}, "batch axes must broadcast together"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(InvalidProblem, match=message):
        make(**changes)


def test_priors_that_do_not_fit_are_named():
    with pytest.raises(InvalidProblem, match="`action_prior` must be a positive definite covariance"):
        LinearQuadraticModel(make(), 1.0, [[0.0]])
    with pytest.raises(InvalidProblem, match=r"`action_prior` must have a gain of shape \(1, 2\)"):
        LinearQuadraticModel(make(), 1.0, GaussianPrior(np.zeros((2, 2)), np.zeros(2), EYE))
    with pytest.raises(InvalidProblem, match="`temperature` must be a number of at least 0, but is -1"):
        LinearQuadraticModel(make(), -1.0)


def test_sampled_time_is_the_integral():
    """Dynamics, noise, cost and its constant by quadrature of matrix exponentials."""
    rng = np.random.default_rng(0)
    A, B, X, L = rng.normal(size=(3, 3)), rng.normal(size=(3, 2)), rng.normal(size=(5, 5)), rng.normal(size=(3, 3))
    C, W, dt = X @ X.T, L @ L.T, 0.7
    problem = LinearQuadratic.from_continuous(
        A, B, C[:3, :3], C[3:, 3:], W, C[:3, 3:], dt=dt, horizon=2, initial_mean=np.zeros(3)
    )
    x, weight = np.polynomial.legendre.leggauss(40)
    x, weight = (x + 1) / 2, weight / 2
    both = np.zeros((5, 5))
    both[:3, :3], both[:3, 3:] = A, B

    def power(matrix, t):
        return torch.linalg.matrix_exp(torch.from_numpy(matrix) * t).numpy()

    def noise(t):
        return sum(t * w * power(A, t * u) @ W @ power(A, t * u).T for u, w in zip(x, weight, strict=True))

    cost = sum(dt * w * power(both, dt * u).T @ C @ power(both, dt * u) for u, w in zip(x, weight, strict=True))
    constant = sum(dt * w * 0.5 * np.trace(C[:3, :3] @ noise(dt * u)) for u, w in zip(x, weight, strict=True))
    assert np.allclose(problem.A[0], power(A, dt), rtol=1e-12)
    assert np.allclose(problem.B[0], power(both, dt)[:3, 3:], rtol=1e-12)
    assert np.allclose(problem.W[0], noise(dt), rtol=1e-12)
    assert np.allclose(problem.C[0], cost, rtol=1e-12)
    assert float(problem.k[0]) == pytest.approx(constant, rel=1e-12)


def test_tracking_is_regulation_of_the_difference():
    """A constant reference that the system can hold: the same gains, and the same path shifted."""
    at = torch.tensor([2.0, 0.0])
    given = (np.array([[1.0, 0.2], [0.0, 1.0]]), [[0.0], [0.2]], np.eye(2), 0.1, 0.01 * np.eye(2))
    track = LinearQuadratic.from_cost(*given, horizon=5, initial_mean=[3.0, 0.0], reference=at, final_cost=np.eye(2))
    regulate = LinearQuadratic.from_cost(*given, horizon=5, initial_mean=[1.0, 0.0], final_cost=np.eye(2))
    for beta in (1.0, 0.0, -0.1):
        one, other = (infer(LinearQuadraticModel(each), beta) for each in (track, regulate))
        assert one.objective == pytest.approx(other.objective, rel=1e-12)
        assert torch.allclose(one.mode().states - at, other.mode().states, atol=1e-12)
    moving = torch.linspace(0, 1, 6)[:, None] * torch.tensor([1.0, 0.0])
    timed = LinearQuadratic.from_cost(
        *given, horizon=5, initial_mean=[0.0, 0.0], reference=moving, final_cost=np.eye(2)
    )
    state = torch.tensor([0.3, 0.1], dtype=torch.float64)
    expected = -0.5 * float((state - moving[2]).square().sum())
    assert float(timed.reward(2, state, torch.zeros(1))) == pytest.approx(expected)
    assert float(timed.final_reward(state)) == pytest.approx(-0.5 * float((state - moving[5]).square().sum()))


def test_rewards_are_the_quadratic_form():
    problem = scalar()
    state, action = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.5], [-1.0]])
    assert problem.reward(0, state, action).tolist() == [-0.5 - 0.025, -2.0 - 0.1]


def test_a_reference_is_tracked_in_continuous_time():
    """The cost of a step is that of small steps along the path, for a reference that is held during the step."""
    A, B = np.array([[0.0, 1.0], [-1.0, -0.3]]), np.array([[0.0], [1.0]])
    Q, R, N, W = np.diag([2.0, 0.5]), np.array([[0.4]]), np.array([[0.1], [0.2]]), np.diag([0.02, 0.1])
    reference = np.array([[0.5, 0.2], [1.0, 0.0], [2.0, 1.0]])
    common = {"dt": 0.4, "horizon": 2, "initial_mean": [0.0, 0.0], "final_cost": np.eye(2)}
    problem = LinearQuadratic.from_continuous(A, B, Q, R, W, N, reference=reference, action_reference=[0.7], **common)
    plain = LinearQuadratic.from_continuous(A, B, Q, R, W, N, **common)
    state, action, many = np.array([1.0, -0.5]), np.array([0.3]), 4000
    for t in range(2):
        x, cost, h = state.copy(), 0.0, 0.4 / many
        for _ in range(many):
            middle = x + 0.5 * h * (A @ x + B @ action)
            y, v = middle - reference[t], action - 0.7
            cost += h * 0.5 * (y @ Q @ y + 2.0 * y @ N @ v + v @ R @ v)
            x = x + h * (A @ middle + B @ action)
        due = -cost - float(plain.k[t])  # k is the cost of the noise within the step
        assert float(problem.reward(t, torch.tensor(state), torch.tensor(action))) == pytest.approx(due, abs=1e-8)
        state = x
    due = -0.5 * ((state - reference[-1]) ** 2).sum()
    assert float(problem.final_reward(torch.tensor(state))) == pytest.approx(due, abs=1e-10)
    with pytest.raises(InvalidProblem, match="`reference` must have one entry, or 3"):
        LinearQuadratic.from_continuous(A, B, Q, R, W, dt=0.4, horizon=2, initial_mean=[0.0, 0.0],
                                        reference=reference[:2])  # fmt: skip


def test_components_have_names():
    names = {"state_names": ("position", "speed"), "action_names": ["push"]}
    matrices = np.eye(2), [[0.0], [1.0]], np.eye(2), [[1.0]], np.eye(2)
    many = LinearQuadratic.from_cost(*matrices, horizon=2, initial_mean=np.zeros((3, 2)), **names)
    timed = LinearQuadratic.from_continuous(*matrices, dt=0.1, horizon=2, initial_mean=[0.0, 0.0], **names)
    for problem in (many, many[1], many.replace(horizon=4), timed):
        assert problem.state_names == ("position", "speed")
        assert problem.action_names == ("push",)
        assert (problem.state_name(1), problem.action_name(0)) == ("speed", "push")
        assert "2 states (position, speed), 1 actions (push)" in repr(problem)
    bare = many.replace(state_names=None, action_names=None)
    assert (bare.state_name(1), bare.action_name(0)) == ("component 1 of the state", "component 0 of the action")
    assert "(" not in repr(bare)[len("LinearQuadratic(") :].replace("(3,)", "")
    for wrong, words in ((("a",), "must hold 2 names"), (("a", "a"), "must be distinct"), ("ab", "must hold 2 names")):
        with pytest.raises(InvalidProblem, match=f"`state_names` {words}"):
            many.replace(state_names=wrong)
