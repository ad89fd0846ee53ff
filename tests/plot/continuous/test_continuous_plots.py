"""The plots of problems over vectors show the exact numbers and have no overlapping text."""

from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib._pylab_helpers import Gcf
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from picture_texts import check_words

from pgm_control import (
    InvalidArgument,
    Line,
    LinearQuadratic,
    LinearQuadraticModel,
    LineModel,
    Planar,
    PlanarModel,
    breakdown,
    compare,
    infer,
    ledger,
    plot,
)
from pgm_control.plot.continuous.picture import picture


def gaussian():
    problem = LinearQuadratic(
        A=[[1.0, 0.2], [0.0, 1.0]],
        B=[[0.0], [0.2]],
        W=torch.diag(torch.tensor([0.01, 0.05])),
        C=torch.diag(torch.tensor([1.0, 0.1, 0.1])),
        horizon=8,
        initial_mean=[2.0, 0.0],
        initial_covariance=0.1 * torch.eye(2),
    )
    return LinearQuadraticModel(problem, temperature=1.0, action_prior=[[4.0]])


def slope(t, state):
    return -t * state[..., 0] - 100.0 * state[..., 1] ** 2


PLANE = Planar(slope, horizon=3, noise_covariance=0.1)
_rng = np.random.default_rng(0)
STATES = {"free guide": torch.from_numpy(_rng.random((20, 4, 2))), "clamped guide": _rng.normal(size=(9, 4, 2))}
POINT = {"a $name$ of several words": [[[2.0, 3.0]]]}
PICTURES = {
    "belief_paths over time": (1, lambda **to: plot.belief_paths(infer(gaussian(), 1.0), 1, **to)),
    "belief_paths in the plane": (1, lambda **to: plot.belief_paths(infer(gaussian(), 1.0), (0, 1), **to)),
    "gain_by_optimism": (2, lambda **to: plot.gain_by_optimism(gaussian(), **to)),
    "gain_by_optimism of some": (2, lambda **to: plot.gain_by_optimism(gaussian(), [-0.2, 0.0, 2.0], t=3, **to)),
    "ledger_bars of steps": (1, lambda **to: plot.ledger_bars(ledger(gaussian(), infer(gaussian(), 0.0)), **to)),
    "plane_paths": (1, lambda **to: plot.plane_paths(PLANE, STATES, title="Paths", **to)),
    "plane_paths of a point": (1, lambda **to: plot.plane_paths(PLANE, POINT, **to)),
}  # fmt: skip


@pytest.mark.parametrize("style", ["paper", "slide"])
@pytest.mark.parametrize("name", PICTURES)
def test_words_do_not_overlap(name, style):
    count, draw = PICTURES[name]
    made = np.ravel(np.asarray(draw(style=style), dtype=object))
    assert len(made) == count
    check_words(made[0].figure, f"{name}, {style}")


@pytest.mark.parametrize("name", PICTURES)
def test_a_plot_draws_into_the_given_axes_only(name):
    before = dict(matplotlib.rcParams)
    count, draw = PICTURES[name]
    figure = Figure(figsize=(6.0 * (count + 1), 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    *given, other = figure.subplots(1, count + 1, squeeze=False).ravel()
    returned = draw(axes=given) if name.startswith("gain") else draw(ax=given[0])
    assert list(np.ravel(np.asarray(returned, dtype=object))) == given
    assert figure.axes == [*given, other]
    assert not other.has_data()
    check_words(figure, name)
    assert dict(matplotlib.rcParams) == before
    assert not Gcf.get_all_fig_managers()


def lines(axes):
    return {str(line.get_label()): line for line in axes.lines if not str(line.get_label()).startswith("_")}


def test_belief_paths_hold_the_means_of_both_worlds():
    found = infer(gaussian(), 0.5)
    mean = np.zeros(0)
    over_time, plane = lines(plot.belief_paths(found, 1)), plot.belief_paths(found, (1, 0), deviations=2.0)
    for name, expected in (("believed", found.marginals()), ("true", found.true_marginals())):
        mean, spread = expected.state_mean.numpy(), expected.state_covariance.numpy()
        np.testing.assert_allclose(
            np.asarray(over_time[name].get_data()), np.array((np.arange(9), mean[:, 1])), atol=1e-12
        )
    curves = [each for each in plane.lines if str(each.get_label()).startswith("_")]
    first = np.array(curves[0].get_data()) - found.marginals().state_mean[0, [1, 0]].numpy()[:, None]
    spread = found.marginals().state_covariance[0][[1, 0]][:, [1, 0]].numpy()
    distance = np.einsum("in,ij,jn->n", first, np.linalg.inv(spread), first)
    np.testing.assert_allclose(distance, 4.0, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(lines(plane)["true"].get_xdata()), mean[:, 1], atol=1e-12)


def test_the_band_has_the_asked_width():
    found = infer(gaussian(), 0.0)
    axes = plot.belief_paths(found, 0, deviations=3.0)
    mean, spread = found.marginals().state_mean[:, 0], 3.0 * found.marginals().state_covariance[:, 0, 0].sqrt()
    corners = np.asarray(axes.collections[0].get_paths()[0].vertices)
    assert corners[:, 1].min() == pytest.approx(float((mean - spread).min()))
    assert corners[:, 1].max() == pytest.approx(float((mean + spread).max()))


def test_gain_by_optimism_holds_the_exact_numbers_and_the_breakdown():
    model = gaussian()
    edge = breakdown(model).neurotic.optimism
    gains, spreads = plot.gain_by_optimism(model, [2 * edge, -0.2, 0.0, 2.0], t=3)
    for axes, label in ((gains, "norm of the gain"), (spreads, "standard deviation of the action")):
        betas, numbers = lines(axes)[label].get_data()
        assert list(betas) == [-0.2, 0.0, 2.0], "those beyond the breakdown are left out"
        for beta, number in zip(betas, numbers, strict=True):
            found = infer(model, float(beta))
            exact = found.gain[3].norm() if axes is gains else found.policy_covariance[3, 0, 0].sqrt()
            assert number == pytest.approx(float(exact), rel=1e-9)
        assert lines(axes)["breakdown"].get_xdata()[0] == pytest.approx(edge)


def test_plane_paths_hold_the_rewards_and_the_mean_paths():
    axes = plot.plane_paths(PLANE, STATES, t=2, num_paths=2)
    for name, states in STATES.items():
        mean = np.asarray(states).mean(0)
        np.testing.assert_allclose(np.array(lines(axes)[name].get_data()).T, mean, atol=1e-12)
    image = axes.images[0]
    (left, right, low, high), shown = image.get_extent(), np.asarray(image.get_array())
    rows, columns = shown.shape
    x = left + (np.arange(columns) + 0.5) * (right - left) / columns
    y = low + (np.arange(rows) + 0.5) * (high - low) / rows
    np.testing.assert_allclose(shown, -2 * x[None, :] - 100.0 * y[:, None] ** 2, atol=1e-9)
    everything = np.concatenate([np.asarray(each).reshape(-1, 2) for each in STATES.values()])
    assert left < everything[:, 0].min()
    assert right > everything[:, 0].max()
    thin = [each for each in axes.lines if len(each.get_xdata()) == 4 and str(each.get_label()).startswith("_")]
    assert len(thin) == 4, "two of each guide"


def test_plane_paths_take_the_paths_of_a_posterior():
    model = PlanarModel(Planar(lambda s: -(s**2).sum(-1), horizon=2, noise_covariance=0.3), 1.0, 0.5)
    played = infer(model, 0.0).play(30, 0)
    axes = plot.plane_paths(model.problem, {"clamped": played})
    np.testing.assert_allclose(np.array(lines(axes)["clamped"].get_data()).T, played.states.mean(0).numpy())


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plot.belief_paths(None), "`posterior` must be a GaussianPosterior or a GridPosterior"),
        (lambda: plot.belief_paths(infer(gaussian(), 0.0), 2), "`components` must be one or two"),
        (lambda: plot.belief_paths(infer(gaussian(), 0.0), deviations=0.0), "`deviations` must be a positive"),
        (lambda: plot.gain_by_optimism(PLANE), "`model` must be a LinearQuadraticModel"),
        (lambda: plot.gain_by_optimism(gaussian(), [1.0, 0.0]), "`optimisms` must be finite numbers in rising order"),
        (lambda: plot.gain_by_optimism(gaussian(), [-9.0, -8.0]), "`optimisms` must have two values"),
        (lambda: plot.gain_by_optimism(gaussian(), t=8), "`t` must be a step, 0 to 7"),
        (lambda: plot.ledger_map(ledger(gaussian(), infer(gaussian(), 0.0))), "ledger_over_time and ledger_bars draw"),
        (lambda: plot.plane_paths(gaussian().problem, STATES), "`problem` must be a Planar"),
        (lambda: plot.plane_paths(PLANE, {}), "`paths` must map names"),
        (lambda: plot.plane_paths(PLANE, {"a": torch.rand(4, 2)}), "`paths` must hold finite states of shape"),
        (lambda: plot.plane_paths(PLANE, {"a": [[[0.0, torch.nan]]]}), "`paths` must hold finite states of shape"),
        (lambda: plot.plane_paths(PLANE, {"a": torch.rand(0, 4, 2)}), "`paths` must hold finite states of shape"),
        (lambda: plot.plane_paths(PLANE, STATES, t=0), "`t` must be a time, 1 to 3"),
        (lambda: plot.plane_paths(PLANE, STATES, t=4), "`t` must be a time, 1 to 3"),
        (lambda: plot.plane_paths(PLANE, STATES, num_paths=-1), "`num_paths` must be a whole number"),
        (lambda: plot.plane_paths(PLANE, STATES, style="poster"), "`style` must be"),
        (lambda: plot.plane_paths(PLANE, STATES, ax="here"), "`ax` must be matplotlib Axes"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(call, words):
    with pytest.raises(InvalidArgument) as problem:
        call()
    assert words in str(problem.value)


def test_imagined_and_true_takes_a_comparison():
    found = compare(gaussian())
    axes = plot.imagined_and_true(found)
    ends = {line.get_label(): list(line.get_xdata()) for line in axes.lines}
    for name, score in found.scorecard.scores.items():
        assert ends[f"delusion of {name}"] == [score.true_return, score.imagined_return]


def _compared() -> dict[str, tuple[Any, int]]:
    problem = LinearQuadratic.from_cost(0.9, 0.5, 1.0, 0.2, 0.3, horizon=2, initial_mean=1.0)
    planar = Planar(lambda s: -(s**2).sum(-1), horizon=2, noise_covariance=0.3)
    line = Line(lambda s: -(s**2), 2, 0.3, initial_mean=1.0)
    return {
        "a $plain$ one": (compare(LinearQuadraticModel(problem, 1.0, 1.0), name="a $plain$ one"), 5),
        "two components": (compare(gaussian(), name="two components"), 6),
        "plane": (compare(PlanarModel(planar, 1.0, 0.5), name="plane", seed=3), 5),  # with two colour bars
        "line": (compare(LineModel(line, 1.0, 0.5), name="line"), 3),
    }


def test_the_picture_of_a_comparison_holds_states_and_returns(tmp_path):
    for name, (found, count) in _compared().items():
        figure = picture(found, tmp_path / "picture.png")
        assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"
        assert len(figure.findobj(Axes)) == count
        check_words(figure, name)
        headed = str(figure.get_suptitle()).replace("\n", " ")
        assert headed.startswith(f"{name} (T = ")
        assert found.explanation.headline in headed
        ends = {line.get_label(): list(line.get_xdata()) for ax in figure.axes for line in ax.lines}
        for guide, score in found.scorecard.scores.items():
            assert ends[f"delusion of {guide}"] == [score.true_return, score.imagined_return]
        if name == "plane":
            held = np.asarray(lines(figure.axes[0])["free"].get_ydata())
            np.testing.assert_allclose(held, found.free.sample(400, 3).states.mean(0)[:, 1])
        if isinstance(found.model, LinearQuadraticModel):
            held = np.asarray(lines(figure.axes[1])["true"].get_ydata())
            np.testing.assert_allclose(held, found.clamped.true_marginals().state_mean[:, 0])
            assert (
                np.asarray(lines(figure.axes[3])["breakdown"].get_xdata())[0]
                == breakdown(found.model).neurotic.optimism
            )


def test_axes_have_the_names_of_the_components():
    model = gaussian()
    named = LinearQuadraticModel(model.problem.replace(state_names=("position", "speed")), 1.0, [[4.0]])
    axes = plot.belief_paths(infer(named, 1.0), (0, 1))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("position", "speed")
