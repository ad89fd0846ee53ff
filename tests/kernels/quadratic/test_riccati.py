"""The compiled sweeps of linear-quadratic problems agree with recursions in numpy, torch and mpmath, written apart."""

import numpy as np
import pytest
import torch

pytest.importorskip("numba", reason="needs the extra `fast`")

from pgm_control.errors import InvalidArgument
from pgm_control.kernels.quadratic import backward, forward, riccati
from pgm_control.kernels.quadratic.backend import riccati_for
from pgm_control.kernels.quadratic.bundles import (
    BROKEN,
    NOT_CONCAVE,
    NOT_FINITE,
    QuadraticProblem,
    QuadraticSlopes,
    QuadraticStart,
)

LAST_AXES = {"final_hessian", "final_gradient", "final_constant", "temperature", "discount"}
THETAS = (0.0, 0.7, -0.02, 1e-9, -1e-9, 3.0)


def random_problem(seed, problems, times, n, m, q, theta=None, discount=True):
    """Random tables for this many problems and times, 1 for shared ones."""
    random, z = np.random.default_rng(seed), n + m
    x = random.normal(size=(problems, times, z, z))
    y = random.normal(size=(problems, n, n))
    thetas = random.choice(THETAS, size=(problems, times)) if theta is None else np.full((problems, times), theta)
    return QuadraticProblem(
        transition=random.normal(size=(problems, times, n, z)) * 0.6,
        drift=random.normal(size=(problems, times, n)),
        noise_root=0.3 * random.normal(size=(problems, times, n, q)),
        hessian=x @ x.swapaxes(-1, -2) / z + 0.1 * np.eye(z),
        gradient=random.normal(size=(problems, times, z)),
        constant=random.normal(size=(problems, times)),
        final_hessian=y @ y.swapaxes(-1, -2) / n,
        final_gradient=random.normal(size=(problems, n)),
        final_constant=random.normal(size=problems),
        theta=thetas,
        temperature=random.uniform(0.3, 2.0, size=problems),
        discount=random.uniform(0.8, 1.0, size=problems) if discount else np.ones(problems),
    )


def at(table, b, t=None):
    one = table[min(b, len(table) - 1)]
    return one if t is None else one[min(t, len(one) - 1)]


def in_numpy(problem, horizon, b):
    """P, p, v, K, κ, Haa⁻¹ and log det Haa of one problem, by solves; log det M by eigenvalues."""
    p, lin, v = (at(getattr(problem, f"final_{name}"), b) for name in ("hessian", "gradient", "constant"))
    discount, temperature, n = at(problem.discount, b), at(problem.temperature, b), problem.drift.shape[2]
    values, policies = [(p, lin, v)], []
    for t in reversed(range(horizon)):
        p, lin, v = discount * p, discount * lin, discount * v
        root, theta = at(problem.noise_root, b, t), at(problem.theta, b, t)
        each = np.linalg.eigvalsh(root.T @ p @ root)
        v += 0.5 * (each.sum() if theta == 0 else np.log1p(theta * each).sum() / theta)
        w = root @ root.T
        s = np.linalg.solve(np.eye(n) + theta * w @ p, w)
        v -= 0.5 * theta * lin @ s @ lin
        p, lin = p - theta * p @ s @ p, lin - theta * p @ s @ lin
        f, d = at(problem.transition, b, t), at(problem.drift, b, t)
        h, g = at(problem.hessian, b, t) + f.T @ p @ f, at(problem.gradient, b, t) + f.T @ (p @ d + lin)
        inverse, log_det = np.linalg.inv(h[n:, n:]), np.linalg.slogdet(h[n:, n:])[1]
        gain, offset = inverse @ h[n:, :n], inverse @ g[n:]
        v += at(problem.constant, b, t) + 0.5 * d @ p @ d + lin @ d - 0.5 * g[n:] @ offset + 0.5 * temperature * log_det
        p, lin = h[:n, :n] - h[:n, n:] @ gain, g[:n] - h[:n, n:] @ offset
        p = 0.5 * (p + p.T)
        values.append((p, lin, v))
        policies.append((gain, offset, inverse, log_det))
    return [np.stack(each[::-1]) for part in (values, policies) for each in zip(*part, strict=True)]


def near(found, expected, tolerance=1e-10):
    size = max(1.0, np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(found / size, expected / size, rtol=0, atol=tolerance)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("count", "horizon", "n", "m", "q"),
    [
        (1, 6, 1, 1, 1),
        (3, 17, 4, 2, 4),
        (8, 16, 2, 1, 1),
        (9, 50, 3, 2, 0),
        (20, 5, 6, 3, 2),
        (2, 1, 5, 1, 5),
        (1, 33, 2, 3, 2),
    ],
)
def test_values_and_policies_equal_numpy(seed, count, horizon, n, m, q):
    shared = (seed % 2 == 0, seed // 2 == 0)
    problem = random_problem(seed, 1 if shared[0] else count, 1 if shared[1] else horizon, n, m, q)
    found = riccati.solve(problem, count, horizon)
    for b in range(count):
        status, time = found.failures[b]
        if status != 0:  # some are unbounded at θ < 0: the recursion of numpy runs up to there
            assert status == BROKEN
            assert np.isnan(found.constant[b, : time + 1]).all()
            assert np.isfinite(found.constant[b, time + 1 :]).all()
            continue
        for table, expected in zip(found[:-1], in_numpy(problem, horizon, b), strict=True):
            near(table[b], expected)
    assert (found.failures[:, 0] == 0).sum() > 0


def test_each_lane_has_its_own_theta_and_tables_may_be_shared_in_part():
    problem = random_problem(5, 6, 7, 3, 2, 3)
    mixed = problem._replace(
        theta=np.array(THETAS)[:, None],
        transition=problem.transition[:1],
        hessian=problem.hessian[:, :1].copy(),
        gradient=problem.gradient[:1, :1],
    )
    found = riccati.solve(mixed, 6, 7)
    assert not found.failures[:, 0].any()
    for b in range(6):
        for table, expected in zip(found[:-1], in_numpy(mixed, 7, b), strict=True):
            near(table[b], expected, 1e-12)


def scalar(optimism, **more):
    """The scalar problem whose answers are known."""
    tables = {
        "transition": np.array([[[[0.9, 0.5]]]]),
        "drift": np.zeros((1, 1, 1)),
        "noise_root": np.full((1, 1, 1, 1), 0.3**0.5),
        "hessian": np.diag([1.0, 0.2])[None, None],
        "gradient": np.zeros((1, 1, 2)),
        "constant": np.full((1, 1), -0.5 * np.log(2 * np.pi)),
        "final_hessian": np.zeros((1, 1, 1)),
        "final_gradient": np.zeros((1, 1)),
        "final_constant": np.zeros(1),
        "theta": np.full((1, 1), optimism),
        "temperature": np.ones(1),
        "discount": np.ones(1),
    }
    return QuadraticProblem(**{**tables, **more})


@pytest.mark.parametrize(
    ("optimism", "gain", "variance", "hessian", "objective"),
    [
        (1.0, 0.983132516, 2.269076345, 1.353927706, 6.94504942),
        (0.5, 1.059352785, 2.057353374, 1.381367003, 6.62906262),
        (0.0, 1.149526175, 1.806871735, 1.413829423, 6.21835979),
        (-0.5, 1.258171967, 1.505077869, 1.452941908, 5.65444977),
    ],
)
def test_known_answers_of_the_scalar_problem(optimism, gain, variance, hessian, objective):
    found = riccati.solve(scalar(optimism), 1, 6)
    assert found.gain[0, 0, 0, 0] == pytest.approx(gain, abs=1e-9)
    assert found.inverse[0, 0, 0, 0] == pytest.approx(variance, abs=1e-9)
    assert found.hessian[0, 0, 0, 0] == pytest.approx(hessian, abs=1e-9)
    value = -(0.5 * found.hessian[0, 0, 0, 0] + found.gradient[0, 0, 0] + found.constant[0, 0])
    assert value == pytest.approx(objective, abs=1e-8)


def test_breakdown_is_found_where_it_is_known_to_begin():
    # The edge of 100 steps is that of an infinite P~, where half of the digits cancel.
    for horizon, edge, width in ((6, -2.023794968, 2e-9), (100, -2.0226537217, 3e-8)):
        inside, outside = (riccati.solve(scalar(edge + step), 1, horizon) for step in (width, -width))
        assert inside.failures.tolist() == [[0, -1]]
        assert np.isfinite(inside.constant).all()
        assert outside.failures[0, 0] == BROKEN
    early = riccati.solve(scalar(-10.0), 1, 6)
    assert early.failures.tolist() == [[BROKEN, 4]]  # the last step meets no reward, the one before 1 − 10 · .3 < 0
    assert np.isnan(early.hessian[0, :5]).all()
    assert np.isfinite(early.hessian[0, 5:]).all()


def test_a_failure_stops_its_problem_only_and_says_why():
    problem = random_problem(3, 9, 12, 2, 2, 2, theta=0.1)
    problem.hessian[4, 7, 2:, 2:] = -50 * np.eye(2)  # not concave at t = 7
    problem.theta[6, 5] = -1e6  # unbounded at t = 5
    problem.final_hessian[8] = np.nan
    found, whole = riccati.solve(problem, 9, 12), random_problem(3, 9, 12, 2, 2, 2, theta=0.1)
    assert found.failures[4].tolist() == [NOT_CONCAVE, 7]
    assert found.failures[6].tolist() == [BROKEN, 5]
    assert found.failures[8, 0] != 0
    for b in (4, 6):
        time = found.failures[b, 1]
        assert np.isnan(found.hessian[b, : time + 1]).all()
        assert np.isnan(found.gain[b, :time]).all()
        assert np.isfinite(found.hessian[b, time + 1 :]).all()
    expected = riccati.solve(whole, 9, 12)
    for b in (0, 1, 2, 3, 5, 7):
        assert found.failures[b].tolist() == [0, -1]
        np.testing.assert_array_equal(found.hessian[b], expected.hessian[b])


def test_values_beyond_the_range_of_numbers_are_not_finite():
    huge = scalar(0.0, transition=np.array([[[[1e200, 0.0]]]]))
    assert riccati.solve(huge, 1, 3).failures[0, 0] in (NOT_CONCAVE, NOT_FINITE)
    far = scalar(0.0, constant=np.full((1, 1), 1.7e308))
    assert riccati.solve(far, 1, 3).failures.tolist() == [[NOT_FINITE, 0]]


@pytest.mark.parametrize("theta", [1e-3, 1e-5, 1e-6, -1e-6, 1e-8, 1e-12, 1e-300, 1e-320, 0.0])
def test_all_digits_of_the_value_at_small_theta(theta):
    """Against 60 digits: log det (I + θ L'PL)/(2θ) loses none as θ goes to 0."""
    mpmath = pytest.importorskip("mpmath")
    problem = scalar(theta, noise_root=np.full((1, 1, 1, 1), 0.7), final_hessian=np.full((1, 1, 1), 2.0))
    found = riccati.solve(problem, 1, 40)
    with mpmath.workdps(60):
        p, v, w = mpmath.mpf(2), mpmath.mpf(0), mpmath.mpf(0.7) ** 2
        a, b, q, r = (mpmath.mpf(x) for x in (0.9, 0.5, 1.0, 0.2))
        t, k = mpmath.mpf(theta), mpmath.mpf(problem.constant[0, 0])
        for _ in range(40):
            v += p * w / 2 if theta == 0 else mpmath.log1p(t * p * w) / (2 * t)
            p = p / (1 + t * p * w)
            haa = r + b * b * p
            v += k + mpmath.log(haa) / 2
            p = q + a * a * p - (a * b * p) ** 2 / haa
        assert found.constant[0, 0] == pytest.approx(float(v), rel=4e-15)
        assert found.hessian[0, 0, 0, 0] == pytest.approx(float(p), rel=4e-15)


def test_determinants_beyond_the_range_of_numbers():
    n = 6
    scale = 1e80
    problem = random_problem(1, 2, 1, n, 3, n, theta=1.0, discount=False)
    problem.noise_root[:] = np.eye(n) * 1e40
    problem.final_hessian[:] = np.eye(n) * scale
    problem.hessian[0, 0, n:, n:] = np.eye(3) * 1e130
    problem.hessian[1, 0, n:, n:] = np.eye(3) * 1e-130
    problem.transition[:, :, :, n:] = 0.0
    problem.hessian[:, :, :n, n:] = problem.hessian[:, :, n:, :n] = 0.0
    problem.drift[:], problem.gradient[:], problem.final_gradient[:], problem.constant[:] = 0, 0, 0, 0
    problem.final_constant[:] = 0
    found = riccati.solve(problem, 2, 1)
    assert not found.failures[:, 0].any()
    logs = 3 * np.log(10.0) * np.array([130, -130])
    np.testing.assert_allclose(found.log_det[:, 0], logs, rtol=1e-14)
    expected = 0.5 * n * np.log(scale * 1e80) + 0.5 * problem.temperature * logs
    np.testing.assert_allclose(found.constant[:, 0], expected, rtol=1e-14)


def objectives_in_torch(tables, horizon, count, start):
    """−(1/τ) E[½ s'P_0 s + p_0's + v_0] of each problem, by a recursion with solves that autograd differentiates."""

    def pick(table, b, t=None):
        return at(table, b, t)

    found = []
    for b in range(count):
        p, lin, v = (pick(tables[f"final_{name}"], b) for name in ("hessian", "gradient", "constant"))
        discount, temperature, n = pick(tables["discount"], b), pick(tables["temperature"], b), p.shape[0]
        for t in reversed(range(horizon)):
            w, theta, one = pick(tables["covariance"], b, t), pick(tables["theta"], b, t), torch.eye(n).double()
            p, lin, v = discount * p, discount * lin, discount * v
            if theta == 0:
                v = v + 0.5 * (w * p).sum()
            else:
                s = torch.linalg.solve(one + theta * w @ p, w)
                v = v + torch.linalg.slogdet(one + theta * w @ p)[1] / (2 * theta) - 0.5 * theta * lin @ s @ lin
                p, lin = p - theta * p @ s @ p, lin - theta * p @ s @ lin
            f, d = pick(tables["transition"], b, t), pick(tables["drift"], b, t)
            h, g = pick(tables["hessian"], b, t) + f.T @ p @ f, pick(tables["gradient"], b, t) + f.T @ (p @ d + lin)
            both = torch.linalg.solve(h[n:, n:], torch.cat((h[n:, :n], g[n:, None]), 1))
            log_det = torch.linalg.slogdet(h[n:, n:])[1]
            v = v + pick(tables["constant"], b, t) + 0.5 * d @ p @ d + lin @ d
            v = v - 0.5 * g[n:] @ both[:, n] + 0.5 * temperature * log_det
            p, lin = h[:n, :n] - h[:n, n:] @ both[:, :n], g[:n] - h[:n, n:] @ both[:, n]
            p = 0.5 * (p + p.T)
        mean, covariance = pick(start.mean, b), pick(start.covariance, b)
        found.append(-(0.5 * (p * (covariance + torch.outer(mean, mean))).sum() + lin @ mean + v) / temperature)
    return torch.stack(found)


@pytest.mark.parametrize(
    ("count", "horizon", "n", "m", "q"),
    [(1, 6, 1, 1, 1), (9, 7, 3, 2, 1), (3, 18, 4, 2, 4), (2, 4, 5, 3, 0), (2, 5, 2, 1, 2)],
)
@pytest.mark.parametrize("shared", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("theta", [0.6, 0.0, -0.01])
def test_slopes_equal_autograd(count, horizon, n, m, q, shared, theta):
    problem = random_problem(n, 1 if shared[0] else count, 1 if shared[1] else horizon, n, m, q, theta)
    random = np.random.default_rng(1)
    x = random.normal(size=(count, n, n))
    start = QuadraticStart(random.normal(size=(count, n)), x @ x.swapaxes(1, 2), random.normal(size=count))
    values = riccati.solve(problem, count, horizon)
    assert not values.failures[:, 0].any()
    found = riccati.slopes(problem, values, start)
    tables = {name: torch.from_numpy(table) for name, table in problem._asdict().items()}
    tables["covariance"] = tables["noise_root"] @ tables["noise_root"].mT
    leaves = {name: tables[name].clone().requires_grad_() for name in QuadraticSlopes._fields}
    objectives = objectives_in_torch(
        {**tables, **leaves}, horizon, count, QuadraticStart(*map(torch.from_numpy, start))
    )
    given = torch.from_numpy(start.cotangent)
    expected = torch.autograd.grad((given * objectives).sum(), list(leaves.values()))
    for name, theirs in zip(QuadraticSlopes._fields, expected, strict=True):
        symmetric = 0.5 * (theirs + theirs.mT) if "hessian" in name or name == "covariance" else theirs
        ours, size = getattr(found, name), max(1.0, symmetric.abs().max().item())
        assert ours.shape == symmetric.shape
        np.testing.assert_allclose(ours / size, symmetric.numpy() / size, rtol=0, atol=1e-10, err_msg=name)


def test_the_slope_of_a_problem_that_broke_down_is_nan_and_of_others_is_not():
    problem = random_problem(3, 3, 4, 2, 1, 2, theta=0.1)
    problem.theta[1] = -1e6
    values = riccati.solve(problem, 3, 4)
    start = QuadraticStart(np.ones((1, 2)), np.eye(2)[None], np.ones(3))
    found = riccati.slopes(problem, values, start)
    assert np.isnan(found.transition[1]).any()
    assert np.isfinite(found.transition[[0, 2]]).all()


def test_one_compilation_serves_all_dimensions():
    for n, m, q in ((1, 1, 1), (3, 2, 2), (2, 1, 0)):
        problem = random_problem(0, 2, 3, n, m, q, theta=0.1)
        start = QuadraticStart(np.zeros((1, n)), np.eye(n)[None], np.ones(1))
        riccati.slopes(problem, riccati.solve(problem, 2, 3), start)
    assert len(backward.backward.signatures) == len(forward.pullback.signatures) == 1  # pyright: ignore[reportFunctionMemberAccess]


def test_no_step_and_no_problem():
    problem = random_problem(0, 2, 1, 3, 2, 3)
    found = riccati.solve(problem, 2, 0)
    np.testing.assert_array_equal(found.hessian[:, 0], problem.final_hessian)
    np.testing.assert_array_equal(found.constant[:, 0], problem.final_constant)
    assert riccati.solve(random_problem(0, 1, 1, 3, 2, 3), 0, 4).failures.shape == (0, 2)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("transition", lambda x: x[:, :2]),
        ("drift", lambda x: x[..., :1]),
        ("noise_root", lambda x: x.astype(np.float32)),
        ("hessian", lambda x: x.swapaxes(0, 1).copy().swapaxes(0, 1)),
        ("final_hessian", lambda x: x[:2]),
        ("theta", lambda x: x[:, 0].copy()),
    ],
)
def test_arrays_that_do_not_fit_are_refused_before_their_address_is_used(name, change):
    problem = random_problem(0, 3, 4, 2, 1, 2)
    with pytest.raises(InvalidArgument, match=f"`{name}` must"):
        riccati.solve(problem._replace(**{name: change(getattr(problem, name))}), 3, 4)


def test_results_that_do_not_fit_are_refused():
    problem = random_problem(0, 3, 4, 2, 1, 2)
    found = riccati.solve(problem, 3, 4)
    for name in ("hessian", "gain", "failures"):
        with pytest.raises(InvalidArgument, match=f"`{name}` must"):
            riccati.solve_into(problem, found._replace(**{name: getattr(found, name)[:1]}))


def test_the_kernel_is_chosen_as_others_are(monkeypatch):
    monkeypatch.delenv("PGM_CONTROL_BACKEND", raising=False)
    assert riccati_for(torch.zeros(2)) is riccati
    assert riccati_for(torch.zeros(2, device="meta")) is None
    monkeypatch.setenv("PGM_CONTROL_BACKEND", "torch")
    assert riccati_for(torch.zeros(2)) is None
