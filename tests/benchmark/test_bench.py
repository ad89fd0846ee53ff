"""The benchmark of guides: numbers, interruption, failures, parallel processes and guides of other modules."""

import csv
import dataclasses
import html
import io
import json
import math
import shutil
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyro.infer import Trace_ELBO

from pgm_control import (
    BenchRow,
    BenchStatus,
    Blocks,
    ClampedGuide,
    DialGuide,
    FreeGuide,
    InvalidArgument,
    InvalidProblem,
    LawBroken,
    MarkovGuide,
    MissingExtra,
    TabularModel,
    bench,
    evaluate,
    fit,
    guide_zoo,
    infer,
    ledger,
    zoo,
)
from pgm_control.benchmark import bench as bench_module
from pgm_control.benchmark.command import command_of, next_of
from pgm_control.benchmark.encoded import decoded, encoded
from pgm_control.benchmark.lines import arrived, count, lines_of, median, spread
from pgm_control.benchmark.rows import WITHIN, JobResult, Point, judged
from pgm_control.guides import GuideEntry, MixtureELBO, MixtureGuide
from pgm_control.models import restaurant
from pgm_control.testing import check_guide

SMALL = {
    "models": ["restaurant", "lottery", "risky_path"],
    "guides": ["free", "clamped"],
    "num_seeds": 2,
    "num_steps": 50,
    "horizon": 3,
}
TINY = {"models": ["restaurant", "lottery"], "guides": ["clamped"], "num_seeds": 3, "num_steps": 5}
TIMES = ("seconds", "seconds_to_optimum")

OUTSIDE = '''
"""A module outside the library."""

import torch
from pgm_control import Blocks, MarkovGuide


class Stationary(MarkovGuide):
    """One policy for all time steps."""

    def __init__(self, model):
        super().__init__(model)
        self.logits = torch.nn.Parameter(torch.zeros_like(model.action_prior))

    def blocks(self):
        prior = self.model.blocks()
        return prior.replace(log_policy=torch.log_softmax(prior.log_policy + self.logits, -1))


class Dreamer(Stationary):
    """A guide that assigns positive probability to impossible outcomes."""

    def blocks(self):
        prior = self.model.blocks()
        fair = torch.zeros_like(prior.log_dynamics)
        return prior.replace(log_policy=prior.log_policy + 0 * self.logits, log_dynamics=torch.log_softmax(fair, -1))


class Speechless(Stationary):
    """A guide whose program has no sample sites."""

    def forward(self):
        pass


not_a_guide = 3


def broken(model):
    raise RuntimeError("no such luck")
'''


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """The folder of a module called `outside_guides`."""
    (tmp_path / "outside_guides.py").write_text(OUTSIDE)
    monkeypatch.delitem(sys.modules, "outside_guides", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    sys.modules.pop("outside_guides", None)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The result of SMALL, and its folder."""
    folder = tmp_path_factory.mktemp("small")
    return bench(**SMALL, out=folder, command="pgm-control bench --num-seeds 2"), folder


def timeless(rows):
    return [dataclasses.replace(row, **dict.fromkeys(TIMES)) for row in rows]


def jobs_that_run(monkeypatch):
    """Return a list to which every job that runs is appended."""
    ran, whole = [], bench_module.engine_of

    def counting(engine, jobs):
        taken = whole(engine, jobs)

        def run(call, todo):
            for job, answer in taken.run(call, todo):
                ran.append(tuple(job.about["setting"].values()))
                yield job, answer

        return dataclasses.replace(taken, run=run)

    monkeypatch.setattr(bench_module, "engine_of", counting)
    return ran


# Rows


def test_rows_equal_the_results_of_fit_evaluate_and_ledger(small):
    found, _ = small
    assert found.status is BenchStatus.complete
    assert [(row.model, row.guide, row.seed) for row in found.rows] == [
        (model, guide, seed) for model in SMALL["models"] for guide in SMALL["guides"] for seed in (0, 1)
    ]
    for row in found.rows[1::2]:
        model = TabularModel(zoo()[row.model].build().replace(horizon=3))
        fitted = fit(model, guide_zoo()[row.guide].build(model), seed=row.seed, num_steps=50)
        score, account = evaluate(model, fitted.guide), ledger(model, fitted.guide)
        assert (row.status, row.num_steps, row.horizon) == (fitted.status.name, 50, 3)
        assert row.elbo == row.objective == fitted.elbo
        assert (row.true_return, row.delusion) == (score.true_return, score.delusion)
        assert (row.initial, row.policy, row.dynamics, row.survival) == account.totals
        assert row.log_evidence == infer(model, 1.0).log_evidence
        assert row.gap == pytest.approx(row.log_evidence - row.elbo, abs=1e-9)
        assert row.gap == pytest.approx(row.initial + row.policy + row.dynamics + row.survival, abs=1e-9)
        assert row.optimum_is_exact
        assert row.optimum == pytest.approx(infer(model, float(row.guide == "free")).objective, abs=1e-12)
        near = [abs(each - row.optimum) <= WITHIN for each in [*fitted.elbo_history.tolist(), fitted.elbo]]
        expected = next((n for n in range(51) if all(near[n:])), None)
        assert row.steps_to_optimum == expected
        assert (row.seconds_to_optimum is None) == (expected is None)
    assert any(row.steps_to_optimum for row in found.rows)
    assert any(row.steps_to_optimum is None for row in found.rows)


def test_each_fit_has_the_settings_of_its_entry():
    """The deterministic guide is fitted exactly; with a price on the dynamics, the objective is not the ELBO."""
    dial = GuideEntry("half", lambda model: DialGuide(model, 0.5), "Half.", {"method": "natural_gradient"})
    found = bench(["risky_path"], ["deterministic", dial], num_seeds=1)
    rows: Any = found.rows
    exact, half = rows
    model = TabularModel(zoo()["risky_path"].build())
    assert (exact.status, exact.num_steps, exact.steps_to_optimum) == ("converged", 1, 0)
    assert half.objective == pytest.approx(infer(model, 0.5).objective, abs=1e-6)
    assert half.optimum == pytest.approx(infer(model, 0.5).objective, abs=1e-12)
    assert abs(half.objective - half.elbo) > 0.01
    assert half.steps_to_optimum <= half.num_steps < 20


def test_the_exact_objective_is_recorded_for_a_sampling_loss():
    entry = GuideEntry("sampled", FreeGuide, "By Trace_ELBO.", {"loss": Trace_ELBO()})
    found = bench(["restaurant"], [entry], num_seeds=1, num_steps=30)
    model = TabularModel(restaurant())
    history = found.objective_histories["restaurant", "sampled", 0]
    assert [point.step for point in history][:20] == list(range(1, 21))
    assert history[-1].step == 30
    for point in history:
        guide = FreeGuide(model)
        fit(model, guide, loss=Trace_ELBO(), seed=0, num_steps=point.step)
        assert point.objective == pytest.approx(evaluate(model, guide).elbo, abs=2e-6)
    assert all(one.seconds < other.seconds for one, other in pairwise(history))


def program(model):
    """A hand-written guide, with its parameters in Pyro's store."""

    def guide():
        start = pyro.param("start", torch.zeros(4, dtype=torch.float64))
        state = pyro.sample("state_0", dist.Categorical(logits=model.mdp.initial.log() + 0 * start))
        logits = pyro.param("logits", torch.zeros(2, dtype=torch.float64))
        action = pyro.sample("action_0", dist.Categorical(logits=logits))
        outcome = pyro.sample("outcome_0", dist.Categorical(logits=model.mdp.probability[state, action].log()))
        there = torch.arange(4) == model.mdp.successor[state, action, outcome]
        pyro.sample("state_1", dist.Categorical(logits=torch.where(there, 0.0, -math.inf)))

    return guide


@pytest.mark.slow
def test_guides_without_tables_are_estimated():
    mixture = GuideEntry(
        "mixture", lambda model: MixtureGuide.apart(model, ClampedGuide), "Mixed.", {"loss": MixtureELBO()}
    )
    by_hand = GuideEntry("by_hand", program, "A function.")
    found = bench(["restaurant"], [mixture, by_hand], num_seeds=2, num_steps=40, num_samples=150)
    model = TabularModel(restaurant())
    rows: Any = found.rows
    for row in rows:
        assert row.message == ""
        assert row.gap == pytest.approx(row.log_evidence - row.elbo)
        assert row.elbo <= row.log_evidence + 5 * row.elbo_error
        assert (row.elbo_error > 0, row.true_return_error > 0, row.delusion_error > 0) == (True, True, True)
        assert (row.policy, row.optimum_is_exact) == (None, False)
        assert abs(row.delusion) < 6 * row.delusion_error, "their dynamics are the true ones"
        mine = [each for each in rows if each.guide == row.guide]
        assert row.optimum == max(each.objective for each in mine)
        if row.elbo_error > WITHIN:
            assert row.steps_to_optimum is None, "nobody can tell"
    assert found.rows[0].elbo == pytest.approx(infer(model, 0.0).objective, abs=0.3)
    assert found.rows[0] != dataclasses.replace(found.rows[1], seed=0), "seeds differ"
    assert " ± " in found.page()


def test_the_states_of_torch_and_pyro_are_restored():
    torch.set_num_threads(2)
    before = torch.get_rng_state()
    bench(
        ["restaurant"],
        ["clamped", GuideEntry("by_hand", program, "A function.")],
        num_seeds=1,
        num_steps=3,
        num_samples=10,
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


curves = st.lists(st.floats(-2.0, 0.0), min_size=1, max_size=12)


def row_of(objective, optimum=None, seed=0, error=None):
    return BenchRow(
        "m", "g", seed, 1.0, 1, "converged", elbo=objective, objective=objective, elbo_error=error, optimum=optimum
    )


def history_of(curve):
    return tuple(Point(step, value, step / 10) for step, value in enumerate(curve))


@given(st.lists(curves, min_size=1, max_size=4))
def test_without_an_exact_optimum_it_is_the_best_of_all_seeds(tries):
    results = [JobResult(row_of(curve[-1], seed=seed), history_of(curve)) for seed, curve in enumerate(tries)]
    best = max(max(curve) for curve in tries)
    for curve, result in zip(tries, judged(results), strict=True):
        assert result.row.optimum == best
        expected = None
        for n in range(len(curve)):
            if all(abs(best - each) <= WITHIN for each in curve[n:]):
                expected = n
                break
        assert result.row.steps_to_optimum == expected
        assert result.row.seconds_to_optimum == (None if expected is None else expected / 10)


def test_the_optimum_of_estimates_ignores_intermediate_values():
    high = [JobResult(row_of(-1.0, seed=seed, error=0.001), history_of([0.0, -1.0])) for seed in (0, 1)]
    assert [each.row.optimum for each in judged(high)] == [-1.0, -1.0]


def test_an_adversarial_optimum_is_reached_from_either_side():
    above = JobResult(row_of(-1.0, optimum=-1.0), history_of([0.0, -1.005, -0.5, -0.995, -1.0]))
    assert judged([above])[0].row.steps_to_optimum == 3


# On disk


def test_a_bench_resumes_where_it_stopped(small, tmp_path, monkeypatch):
    first, folder = small
    shutil.copy(folder / "results.jsonl", tmp_path)
    file = tmp_path / "results.jsonl"
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) == 12
    kept = b"".join(lines[:-1])
    file.write_bytes(kept + lines[-1][: len(lines[-1]) // 2])
    ran = jobs_that_run(monkeypatch)
    second = bench(**SMALL, out=tmp_path)
    assert len(ran) == 1
    assert file.read_bytes().startswith(kept)
    assert len(file.read_bytes().splitlines()) == 12
    assert timeless(second.rows) == timeless(first.rows)
    again = [row for row in second.rows if (row.model, row.guide, row.seed) not in ran]
    assert [row.seconds for row in again] == [
        row.seconds for row in first.rows if (row.model, row.guide, row.seed) not in ran
    ], "kept, not measured again"
    bench(**SMALL, out=tmp_path)
    assert len(ran) == 1, "now nothing is left to do"


@pytest.mark.parametrize("change", [{"num_steps": 51}, {"temperature": 0.5}, {"horizon": 2}, {"num_samples": 10}])
def test_other_settings_are_other_jobs(tmp_path, monkeypatch, change):
    small = {"models": ["restaurant"], "guides": ["clamped"], "num_seeds": 1, "num_steps": 50}
    before = bench(**small, out=tmp_path)
    ran = jobs_that_run(monkeypatch)
    bench(**{**small, **change}, out=tmp_path)
    assert len(ran) == 1
    assert bench(**small, out=tmp_path).rows == before.rows, "the lines of other settings are left alone"
    assert len(ran) == 1


def test_more_seeds_guides_and_models_are_added_to_earlier_results(tmp_path, monkeypatch):
    bench(["restaurant"], ["clamped"], num_seeds=1, num_steps=5, out=tmp_path)
    ran = jobs_that_run(monkeypatch)
    bench(["lottery", "restaurant"], ["free", "clamped"], num_seeds=2, num_steps=5, out=tmp_path)
    assert len(ran) == 7
    assert ("restaurant", "clamped", 0) not in ran


def test_a_changed_guide_is_fitted_again(outside, monkeypatch):
    asked = {"models": ["restaurant"], "guides": ["outside_guides:Stationary"], "num_seeds": 1, "num_steps": 3}
    bench(**asked, out=outside / "out", folder=outside)
    ran = jobs_that_run(monkeypatch)
    bench(**asked, out=outside / "out", folder=outside)
    assert ran == []
    (outside / "outside_guides.py").write_text(OUTSIDE.replace("One policy", "One and the same policy"))
    del sys.modules["outside_guides"]  # as in a new process
    bench(**asked, out=outside / "out", folder=outside)
    assert len(ran) == 1


def test_a_changed_library_runs_everything_again(tmp_path, monkeypatch):
    asked = {"models": ["restaurant"], "guides": ["clamped"], "num_seeds": 1, "num_steps": 3}
    bench(**asked, out=tmp_path)
    ran = jobs_that_run(monkeypatch)
    monkeypatch.setattr(bench_module, "library_digest", lambda: "another")
    bench(**asked, out=tmp_path)
    assert len(ran) == 1


numbers = st.one_of(st.none(), st.floats(allow_nan=False))
rows = st.builds(
    BenchRow,
    model=st.text(max_size=5),
    guide=st.text(max_size=5),
    seed=st.integers(0, 9),
    temperature=st.floats(0.1, 2.0),
    horizon=st.integers(1, 9),
    status=st.sampled_from(["converged", "out_of_steps"]),
    message=st.text(max_size=5),
    elbo=numbers,
    gap=numbers,
    objective=numbers,
    num_steps=st.one_of(st.none(), st.integers(0, 9)),
    optimum_is_exact=st.one_of(st.none(), st.booleans()),
)
points = st.lists(st.builds(Point, st.integers(0, 99), st.floats(allow_nan=False), st.floats(0, 9)), max_size=3)


@given(rows, points)
def test_a_result_is_the_same_after_a_line_of_json(row, history):
    result = JobResult(row, tuple(history))
    assert decoded(json.loads(json.dumps(encoded(result)))) == result


def test_lines_that_are_not_results_are_run_again(tmp_path, monkeypatch):
    asked = {"models": ["restaurant"], "guides": ["clamped"], "num_seeds": 2, "num_steps": 3}
    before = bench(**asked, out=tmp_path)
    file = tmp_path / "results.jsonl"
    first, second = file.read_bytes().splitlines(keepends=True)
    spoilt = json.loads(first)
    del spoilt["result"]["row"]["elbo"]
    rest = b'{}\nnot json\n[1, 2]\n\xff\n3\n{"key": "b", "result": {"row": {"model": "m"}}}\n'
    file.write_bytes(json.dumps(spoilt).encode() + b"\n" + rest + second)
    ran = jobs_that_run(monkeypatch)
    assert timeless(bench(**asked, out=tmp_path).rows) == timeless(before.rows)
    assert ran == [("restaurant", "clamped", 0)]
    bench(**asked, out=tmp_path)
    assert len(ran) == 1, "the broken line does not hide the new one"


# Failures


def failing(model):
    raise RuntimeError("the guide has left")


def test_a_guide_that_fails_is_a_row_and_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_module, "require_lawful", lambda entry, model: None)
    odd = GuideEntry("odd", FreeGuide, "?", {"method": "exact", "step_size": 0.5})
    guides = ["clamped", GuideEntry("gone", failing, "It raises."), odd]
    ran = jobs_that_run(monkeypatch)
    found = bench(["restaurant", "lottery"], guides, num_seeds=2, num_steps=5, out=tmp_path)
    assert (found.status, found.num_left, len(ran)) == (BenchStatus.complete, 0, 12)
    assert [row.status for row in found.rows] == ["out_of_steps"] * 2 + ["failed"] * 4 + [
        "out_of_steps",
        "out_of_steps",
        *["failed"] * 4,
    ]
    gone = found.rows[2]
    assert gone.message == "RuntimeError: the guide has left"
    assert (gone.elbo, gone.num_steps) == (None, None)
    assert "`step_size` is for" in found.rows[4].message
    page = found.page()
    assert "- `gone` failed for 2 of 2 seeds: RuntimeError: the guide has left" in page
    assert "| `gone` | — | — |" in page
    reason, following = next_of(found, {"models": (), "guides": (), "guide": (), "num_seeds": 2})
    assert "gone on restaurant" in reason
    assert following == "pgm-control bench --models restaurant --guides gone --num-seeds 2"
    del ran[:]
    bench(["restaurant", "lottery"], guides, num_seeds=2, num_steps=5, out=tmp_path)
    assert {guide for _, guide, _ in ran} == {"gone", "odd"}
    assert len(ran) == 8


@pytest.fixture
def keyboard():
    """Restore the Ctrl-C handler of a terminal, also if the tests run in the background and ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pressing_at(done):
    """A progress function that presses Ctrl-C."""

    def report(step, metrics):
        if step == done:
            signal.raise_signal(signal.SIGINT)

    return report


def test_ctrl_c_between_jobs_keeps_the_finished_jobs(tmp_path, monkeypatch, keyboard):
    found = bench(**TINY, out=tmp_path, progress=pressing_at(2))
    assert (found.status, len(found.rows), found.num_left) == (BenchStatus.interrupted, 2, 4)
    assert "**Not complete**: 4 of 6 jobs" in (tmp_path / "page.md").read_text()
    ran = jobs_that_run(monkeypatch)
    assert len(bench(**TINY, out=tmp_path).rows) == 6
    assert len(ran) == 4


@pytest.mark.parametrize("at", [1, 7])
def test_ctrl_c_during_a_fit_leaves_that_fit_out(tmp_path, monkeypatch, at):
    def press(step):
        if step.step == at and step.guide.model.mdp.horizon == 5:
            signal.raise_signal(signal.SIGINT)

    guides = ["clamped", GuideEntry("pressed", ClampedGuide, "Pressed.", {"callbacks": [press]})]
    monkeypatch.setattr(bench_module, "require_lawful", lambda entry, model: None)
    found = bench(["restaurant", "risky_path"], guides, num_seeds=1, num_steps=20, out=tmp_path)
    assert found.status is BenchStatus.interrupted
    assert ("risky_path", "pressed") not in {(row.model, row.guide) for row in found.rows}
    assert found.num_left == 4 - len(found.rows) == 4 - len((tmp_path / "results.jsonl").read_bytes().splitlines())


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"models": ["resturant"]}, InvalidArgument, "Did you mean 'restaurant'"),
        ({"guides": ["clampd"]}, InvalidArgument, "Did you mean 'clamped'"),
        ({"models": "restaurant"}, InvalidArgument, "`models` must be a list of at least one name"),
        (
            {"guides": []},
            InvalidArgument,
            "`guides` must be a list of at least one name or entry, or None for all of the zoo",
        ),
        ({"num_seeds": 0}, InvalidArgument, "`num_seeds` must be a whole number, at least 1, but is 0"),
        ({"num_steps": 0}, InvalidArgument, "`num_steps` must be a whole number, at least 1"),
        ({"num_samples": 1}, InvalidArgument, "`num_samples` must be a whole number, at least 2"),
        ({"jobs": 0}, InvalidArgument, "−1 for one per core"),
        ({"engine": "lokey"}, InvalidArgument, "`engine` must be None, loky, threading, dask, ray.*is 'lokey'"),
        ({"temperature": 0.0}, InvalidArgument, "positive temperature"),
        ({"temperature": -1.0}, InvalidProblem, "`temperature` must be a number of reward units per nat, 0 or more"),
        ({"horizon": 0}, InvalidProblem, "`horizon` must be a whole number"),
        ({"guides": ["no_such_module:Guide"]}, InvalidArgument, "No module named 'no_such_module'.*current folder"),
        ({"guides": ["outside_guides:Stationery"]}, InvalidArgument, "Did you mean outside_guides:Stationary"),
        ({"guides": ["outside_guides:"]}, InvalidArgument, "must be module:name, such as my_module:MyGuide"),
        ({"guides": ["outside_guides:not_a_guide"]}, InvalidArgument, "is a int. Name a class"),
        ({"guides": ["outside_guides:broken"]}, InvalidArgument, "fails with RuntimeError: no such luck"),
        (
            {"guides": ["outside_guides:Dreamer"], "models": ["risky_path"]},
            LawBroken,
            "(?s)is refused, and nothing was run.*model calls impossible",
        ),
        ({"guides": ["outside_guides:Speechless"]}, LawBroken, "(?s)is refused.*`state_0`"),
        ({"guides": ["free", GuideEntry("free", ClampedGuide, "?")]}, InvalidArgument, "two are called 'free'"),
    ],
)
def test_mistakes_are_reported_before_anything_runs(outside, monkeypatch, change, kind, message):
    ran = jobs_that_run(monkeypatch)
    asked = {"models": ["restaurant", "risky_path"], "guides": ["clamped"], "num_seeds": 1, "num_steps": 2} | change
    with pytest.raises(kind, match=message):
        bench(**asked, out=outside / "out", folder=outside)
    assert ran == []
    assert not (outside / "out").exists()


def test_without_joblib_one_process_is_enough(monkeypatch):
    monkeypatch.setitem(sys.modules, "joblib", None)
    assert len(bench(["restaurant"], ["clamped"], num_seeds=1, num_steps=2).rows) == 1
    monkeypatch.delitem(sys.modules, "joblib.externals", raising=False)
    monkeypatch.delitem(sys.modules, "joblib.externals.loky", raising=False)
    for needs in ({"jobs": 2}, {"engine": "loky"}):
        with pytest.raises(MissingExtra, match=r"pip install joblib"):
            bench(["restaurant"], ["clamped"], num_seeds=1, num_steps=2, **needs)


# Guides of other modules, and processes


@pytest.mark.slow
def test_a_guide_of_another_module_is_checked_and_fitted(outside):
    """The steps of an author: `check_guide`, then the benchmark, without a change of the library."""
    code = (
        "from outside_guides import Stationary\n"
        "from pgm_control import TabularModel\n"
        "from pgm_control.models import risky_path\n"
        "from pgm_control.testing import check_guide\n"
        "model = TabularModel(risky_path())\n"
        "print(check_guide(model, Stationary(model)))\n"
    )
    root = Path(bench_module.__file__).parent.parent
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=outside,
        env={"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert "GuideReport(free=()" in run.stdout, run.stderr
    before = list(sys.path)
    guides = ["clamped", "outside_guides:Stationary"]
    found = bench(["risky_path", "lottery"], guides, num_seeds=1, num_steps=400, folder=outside)
    assert sys.path == before
    by_name: dict[Any, Any] = {(row.model, row.guide): row for row in found.rows}
    assert found.guides["outside_guides:Stationary"] == "One policy for all time steps."
    one, best = by_name["lottery", "outside_guides:Stationary"], by_name["lottery", "clamped"]
    assert one.elbo == pytest.approx(best.elbo, abs=1e-3), "with one step there is but one time"
    one, best = by_name["risky_path", "outside_guides:Stationary"], by_name["risky_path", "clamped"]
    assert one.elbo < best.elbo - 1e-4
    assert (one.optimum_is_exact, best.optimum_is_exact) == (False, True)
    assert one.steps_to_optimum > 0


def test_an_entry_of_another_module_sets_the_fit(outside):
    more = "\nfrom pgm_control.guides.zoo import GuideEntry\n"
    more += "ENTRY = GuideEntry('x', Stationary, 'Mine.', {'num_steps': 7})\n"
    (outside / "outside_guides.py").write_text(OUTSIDE + more)
    found = bench(["restaurant"], ["outside_guides:ENTRY"], num_seeds=1, folder=outside)
    assert (found.rows[0].guide, found.rows[0].num_steps) == ("outside_guides:ENTRY", 7)
    assert found.guides == {"outside_guides:ENTRY": "Mine."}


def test_a_guide_at_its_optimum_that_earns_something_else_is_reported_with_the_numbers(tmp_path):
    """The warning of `compare` on the slippery cliff, where the true return of a fit depends on its start."""
    row = dataclasses.replace(row_of(-29.80882, optimum=-29.8087), model="slippery_cliff", guide="free")
    row = dataclasses.replace(row, true_return=-228.6978, optimum_return=-486.209)
    warning = "nats of its optimum and yet truly earns -228.70, not -486.21"
    made = bench(["restaurant"], ["clamped"], num_seeds=1, num_steps=2)
    model = TabularModel(restaurant())
    assert made.rows[0].optimum_return == pytest.approx(evaluate(model, infer(model, 0.0)).true_return)
    assert "truly earns" not in str(made) + made._repr_html_() + made.page()
    odd = dataclasses.replace(made, rows=(row,), models={"slippery_cliff": "?"}, guides={"free": "?"})
    for text in (str(odd), html.unescape(odd._repr_html_()), odd.page()):
        assert "`free` is within 0.0002 nats" in " ".join(text.split()).replace("<code>", "`").replace("</code>", "`")
        assert warning in " ".join(text.split())
    same = dataclasses.replace(row, true_return=-486.3)
    short = dataclasses.replace(row, objective=-29.9)
    unknown = dataclasses.replace(row, optimum_return=None)
    assert (same.warning, short.warning, unknown.warning) == (None, None, None)


@pytest.mark.slow
def test_two_processes_and_one_give_the_same_results(outside):
    pytest.importorskip("joblib")
    asked = {
        "models": SMALL["models"],
        "guides": ["free", "outside_guides:Stationary"],
        "num_seeds": 2,
        "num_steps": 20,
    }
    alone = bench(**asked, out=outside / "one", folder=outside)
    together = bench(**asked, out=outside / "two", folder=outside, jobs=2)
    assert len(together.rows) == 12
    assert timeless(together.rows) == timeless(alone.rows)
    assert {row.status for row in together.rows} == {"out_of_steps"}
    points = {key: [point[:2] for point in history] for key, history in alone.objective_histories.items()}
    assert {key: [point[:2] for point in history] for key, history in together.objective_histories.items()} == points


# Files


def test_the_table_is_tidy(small):
    found, folder = small
    read = list(csv.DictReader(io.StringIO((folder / "results.csv").read_text(), newline="")))
    assert len(read) == len(found.rows) == 12
    assert list(read[0]) == [field.name for field in dataclasses.fields(BenchRow)]
    for line, row in zip(read, found.rows, strict=True):
        assert (line["model"], line["guide"], int(line["seed"])) == (row.model, row.guide, row.seed)
        for name in ("elbo", "gap", "policy", "dynamics", "true_return", "delusion", "optimum", "seconds"):
            assert float(line[name]) == getattr(row, name)
        assert line["elbo_error"] == ""
        assert line["steps_to_optimum"] == ("" if row.steps_to_optimum is None else str(row.steps_to_optimum))
    assert [len(each) for each in (found.to_dict()["rows"], found.objective_histories)] == [12, 12]


def test_the_page_has_every_guide_on_every_problem(small):
    found, folder = small
    page = (folder / "page.md").read_text()
    assert found.page() == page
    assert "    pgm-control bench --num-seeds 2" in page
    for model in SMALL["models"]:
        section = page.partition(f"\n## {model}\n")[2].partition("\n## ")[0]
        assert zoo()[model].summary in section
        tables = [part for part in section.split("\n\n") if part.startswith("|")]
        assert len(tables) == 2
        for table in tables:
            lines = table.splitlines()
            assert [line.split("|")[1].strip() for line in lines[2:]] == ["`free`", "`clamped`"]
            assert len({line.count("|") for line in lines}) == 1
        for guide in SMALL["guides"]:
            row = next(row for row in found.rows if (row.model, row.guide) == (model, guide))
            assert f"| `{guide}` | {row.elbo:.4f} |" in section
            assert f"| {guide} " in page.partition("## Overview")[2]
        assert "| policy | dynamics |" in tables[0]
        assert "initial" not in tables[0], "it is zero throughout"
    text = str(found)
    assert len(text.splitlines()) == 2 + 6
    assert found._repr_html_().count("<tr>") == 1 + 6


def test_the_seed_with_the_median_objective_is_shown():
    rows = [row_of(objective, seed=seed) for seed, objective in enumerate([-3.0, -1.0, -2.0, -4.0])]
    steps = [dataclasses.replace(row, steps_to_optimum=n) for row, n in zip(rows, [5, None, 9, None], strict=True)]
    (line,) = lines_of(steps)
    assert line.typical is not None
    assert line.typical.objective == -3.0

    assert (arrived(line), median("steps_to_optimum", count)(line), spread(line)) == ("2 of 4", "9", "3.0000")
    (line,) = lines_of(steps[1:])
    assert median("steps_to_optimum", count)(line) == "—", "most seeds did not reach the optimum"


def test_commands_leave_out_default_options():
    asked = {
        "models": (),
        "guides": (),
        "guide": (),
        "num_seeds": 3,
        "temperature": None,
        "horizon": None,
        "num_steps": None,
    }
    assert command_of(asked) == "pgm-control bench --num-seeds 3"
    asked |= {"models": ("lottery",), "guide": ("a:B", "c d:E"), "temperature": 0.5, "out": Path("x y")}
    assert command_of(asked) == (
        "pgm-control bench --models lottery --guide a:B --guide 'c d:E' --num-seeds 3 --temperature 0.5 --out 'x y'"
    )


def test_names_in_the_zoo_are_unique_and_have_no_colon():
    """A property of the zoo that the benchmark needs: names are keys without a colon, unlike module:name."""
    assert all(":" not in name for name in (*zoo(), *guide_zoo()))
    assert issubclass(ClampedGuide, MarkovGuide)
    assert isinstance(ClampedGuide(TabularModel(restaurant())).blocks(), Blocks)
    assert check_guide(TabularModel(restaurant()), ClampedGuide(TabularModel(restaurant())), seed=0).free == ()
