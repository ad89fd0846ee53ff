"""Checkpoints that differ from what was written are refused, with the entry named, before any of them is used."""

import copy
import dataclasses
import errno
import io
import json
import math
import os
import random
import re
import sys
import traceback
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from problems import FULL, gamble, random_mdp
from pyro.infer import Trace_ELBO, TraceEnum_ELBO
from pyro.optim import ClippedAdam, PyroOptim
from pyro.optim.lr_scheduler import PyroLRScheduler
from sealed import sealed
from small_environments import Noisy
from torch import Tensor

from pgm_control import (
    BenchRow,
    ClampedGuide,
    FreeGuide,
    InvalidCheckpoint,
    Optimism,
    Risk,
    TabularMDP,
    TabularModel,
    ValueStatus,
    exchange,
    fit,
    infer,
    value_iteration,
)
from pgm_control.benchmark.encoded import decoded, encoded
from pgm_control.benchmark.rows import JobResult, Point
from pgm_control.cli.main import main
from pgm_control.cli.run_folder import RunFolder
from pgm_control.guides import DeterministicGuide, NeuralGuide
from pgm_control.learners import SAC, MaxEntPolicyGradient, OriginalSAC, SoftQLearning
from pgm_control.models import windy_bridge_in_parts
from pgm_control.runtime import checkpoint
from pgm_control.runtime.files import written_whole
from pgm_control.sweeps.store import Store

TINY = {"hidden": (4,), "batch_size": 4, "learning_starts": 4, "capacity": 20, "seed": 5}
UNSAFE = ("weights_only", "allow_pickle")
pytestmark = pytest.mark.wrong_types


@pytest.fixture(autouse=True, scope="module")
def registered():
    gymnasium.register("broken/Noisy-v0", Noisy, max_episode_steps=6)
    gymnasium.register("broken/Choice-v0", Noisy, max_episode_steps=6, kwargs={"actions": gymnasium.spaces.Discrete(3)})
    yield
    for name in ("broken/Noisy-v0", "broken/Choice-v0"):
        del gymnasium.registry[name]


def opened(path):
    """The whole content of a file, as one structure."""
    content = torch.load(path, weights_only=True)
    return {**content, "json": json.loads(content["json"])}


def written(path, content):
    """Write any content as the library would, with a checksum that fits."""
    archive = io.BytesIO()
    torch.save({**content, **({"json": json.dumps(content["json"])} if "json" in content else {})}, archive)
    path.write_bytes(sealed(archive.getvalue()))


def places(content, at=()):
    """Yield the path to every entry, from the outermost name to the innermost."""
    entries = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in entries:
        yield (*at, key)
        if isinstance(value, dict | list | tuple):
            yield from places(value, (*at, key))


def of(content: Any, at: Any) -> Any:
    for key in at:
        content = content[key]
    return content


def set_to(content, at, value):
    """A copy with another value at this path."""
    if not at:
        return value
    changed = copy.copy(content) if not isinstance(content, tuple) else list(content)
    changed[at[0]] = set_to(content[at[0]], at[1:], value)
    return type(content)(changed) if isinstance(content, tuple) else changed


def breaks(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield every way to break one entry: its name, and the broken content."""
    for at in places(content):
        value, home = of(content, at), of(content, at[:-1])
        if isinstance(home, dict):
            yield f"{at} missing", set_to(content, at[:-1], {k: v for k, v in home.items() if k != at[-1]})
        if isinstance(value, dict):
            yield f"{at} surplus", set_to(content, at, {**value, "surplus": 1})
        for what, wrong in instead(value):
            yield f"{at} {what}", set_to(content, at, wrong)
    yield "() surplus", {**content, "surplus": torch.zeros(2)}


def instead(value):
    """Values of another type, size or dtype, or with nan."""
    if isinstance(value, Tensor):
        yield "longer", torch.cat((value, value[-1:])) if value.ndim and len(value) else value.new_zeros(3)
        yield "shorter", value[:-1] if value.ndim and len(value) else value[None]
        if value.ndim != 2 or len(value) > 1:
            yield "flat", value.reshape(1, -1)
        yield "another dtype", value.to(torch.float16)
        yield "complex", value.to(torch.complex64)
        yield "sparse", value.to_sparse()
        if value.is_floating_point():
            yield "with gradients", value.clone().requires_grad_()
            yield "negated", torch.complex(torch.zeros_like(value), value).conj().imag
        if value.is_floating_point() and value.numel():
            spoilt = value.clone()
            spoilt.view(-1)[-1] = math.nan
            yield "nan", spoilt
        yield "a number", 1.0
        yield "None", None
        return
    for wrong in ("x", None, [], {}, math.nan, -1, 10**400, True, torch.zeros(2)):
        if type(wrong) is not type(value) or (not isinstance(wrong, Tensor) and wrong != value):
            yield repr(wrong)[:20], wrong


def require_refusals(path, content, load, harmless=lambda name: False):
    """Every break is refused; every refusal is an InvalidCheckpoint that advises nothing unsafe.

    A third of the breaks, by a hash of their names; all in the full form.
    """
    found = []
    for name, broken in breaks(content):
        if not FULL and zlib.crc32(name.encode()) % 3:
            continue
        if "'action_masks'" in name and name.endswith("True"):
            continue  # another legal setting, which the environment of the file refuses
        try:
            written(path, broken)
        except TypeError:  # JSON cannot hold a tensor
            continue
        try:
            load(path)
        except InvalidCheckpoint as problem:
            said = "".join(traceback.format_exception(problem))
            if any(word in said for word in UNSAFE) or "\n" in str(problem) or len(str(problem)) > 700:
                found.append((name, said))
        except Exception as problem:
            found.append((name, repr(problem)[:200]))
        else:
            if not harmless(name):
                found.append((name, "accepted"))
    assert not found, "\n".join(map(str, found))


def resumed(model, guide, **more):
    def load(path):
        pyro.clear_param_store()
        try:
            fit(model, guide(), num_steps=5, resume=path, **more)
        finally:
            pyro.clear_param_store()

    return load


def neural(model):
    torch.manual_seed(0)
    return NeuralGuide(model, hidden=(4,))


def coin():
    x = pyro.sample("x", dist.Categorical(logits=torch.zeros(3)))
    pyro.factor("score", torch.tensor([0.0, 1.0, 2.0])[x])


def in_the_store():
    probs = pyro.param("probs", torch.ones(3) / 3, constraint=dist.constraints.simplex)
    pyro.sample("x", dist.Categorical(probs=probs))


def scheduled():
    made = {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.1}, "gamma": 0.9}
    return PyroLRScheduler(torch.optim.lr_scheduler.ExponentialLR, made)


MODEL = TabularModel(gamble())
FITS = {
    "svi": (MODEL, lambda: FreeGuide(MODEL), dict),
    "svi by sampling": (MODEL, lambda: ClampedGuide(MODEL), lambda: {"loss": Trace_ELBO()}),
    "svi with a scheduler": (MODEL, lambda: ClampedGuide(MODEL), lambda: {"optim": scheduled()}),
    "svi with momentum": (
        MODEL,
        lambda: ClampedGuide(MODEL),
        lambda: {"optim": PyroOptim(torch.optim.SGD, {"lr": 0.1, "momentum": 0.9})},
    ),
    "svi by a clipped Adam": (
        MODEL,
        lambda: ClampedGuide(MODEL),
        lambda: {"optim": ClippedAdam({"lr": 0.1})},
    ),
    "svi of a function": (coin, lambda: in_the_store, lambda: {"loss": TraceEnum_ELBO(max_plate_nesting=0)}),
    "natural_gradient": (MODEL, lambda: FreeGuide(MODEL), lambda: {"method": "natural_gradient"}),
    "natural_gradient of indices": (MODEL, lambda: DeterministicGuide(MODEL), lambda: {"method": "natural_gradient"}),
    "em": (MODEL, lambda: neural(MODEL), lambda: {"method": "em"}),
}


@pytest.mark.parametrize("name", FITS)
def test_a_broken_checkpoint_of_a_fit_is_refused(tmp_path, name):
    model, guide, more = FITS[name]
    path = tmp_path / "fit.pt"
    fit(model, guide(), num_steps=3, checkpoint=path, tolerance=0, **more())
    pyro.clear_param_store()
    load = resumed(model, guide, **more())
    content = opened(path)
    load(path)
    written(path, content)
    load(path)

    def harmless(what):
        # No other entry shows how many steps were made, and which parameters made one.
        place, _, how = what.rpartition(" ")
        if place.startswith("('tensors', 'optimiser'"):
            return "'scheduler'" in place or how in ("missing", "{}")
        return place == "('tensors', 'elbo_history')" and how in ("longer", "shorter")

    require_refusals(path, content, load, harmless)


@pytest.mark.parametrize(
    ("method", "temperature"),
    [
        ("auto", 0.0),
        ("auto", 0.3),
        ("value_iteration", 0.3),
        ("gauss_seidel", 0.0),
        ("modified_policy_iteration", 0.3),
        ("anderson", 0.0),
    ],
)
def test_a_broken_checkpoint_of_value_iteration_is_refused(tmp_path, method, temperature):
    model = TabularModel(random_mdp(3, states=17, discount=0.97), temperature)
    path = tmp_path / "v.pt"
    value_iteration(model, 0.0, method=method, max_sweeps=9, checkpoint=path)

    def load(file):
        value_iteration(model, 0.0, method=method, max_sweeps=30, resume=file)

    def harmless(what):
        return what in (
            "('tensors', 'history') longer",
            "('tensors', 'history') shorter",
        )  # no other entry shows how many there were

    content = opened(path)
    require_refusals(path, content, load, harmless)
    for size in (2, 16, 18, 100_000):
        written(path, set_to(content, ("tensors", "state", "v"), torch.full((size,), 7.0, dtype=torch.float64)))
        with pytest.raises(InvalidCheckpoint, match=rf"its `v` must have shape \(17,\), but has \({size},\)"):
            load(path)


def test_a_checkpoint_in_memory_is_also_checked():
    model = TabularModel(random_mdp(3, states=17, discount=0.97), 0.0)
    found = value_iteration(model, 0.0, max_sweeps=5)
    short = dataclasses.replace(found.checkpoint, state={**found.checkpoint.state, "v": torch.zeros(2).double()})
    with pytest.raises(InvalidCheckpoint, match=r"`resume` does not fit this problem: its `v` must have shape \(17,\)"):
        value_iteration(model, 0.0, resume=dataclasses.replace(found, checkpoint=short))
    guide = FreeGuide(MODEL)
    past = fit(MODEL, guide, num_steps=2)
    spoilt = dataclasses.replace(
        past.checkpoint, parameters={**past.checkpoint.parameters, "policy_logits": torch.zeros(1).double()}
    )
    with pytest.raises(
        InvalidCheckpoint, match="`resume` does not fit this guide: its `policy_logits` must have shape"
    ):
        fit(MODEL, guide, resume=dataclasses.replace(past, checkpoint=spoilt))


LEARNERS = {
    "soft_q, table": (SoftQLearning, "FrozenLake-v1", {**TINY, "hidden": (), "optimism": 0.5}, 12),
    "soft_q, box": (SoftQLearning, "broken/Noisy-v0", {**TINY, "num_particles": 2}, 8),
    "sac, box": (SAC, "broken/Noisy-v0", TINY, 9),
    "sac, choice": (SAC, "broken/Choice-v0", {**TINY, "num_envs": 2, "action_prior": [0.5, 0.5, 0.0]}, 8),
    "original_sac, box": (OriginalSAC, "broken/Noisy-v0", TINY, 8),
    "policy_gradient, box": (
        MaxEntPolicyGradient,
        "broken/Noisy-v0",
        {"hidden": (4,), "num_envs": 2, "seed": 5},
        10,
    ),
}
OTHER_SETTINGS = ("temperature", "optimism", "target_entropy", "action_prior", "horizon")


@pytest.mark.filterwarnings("ignore:.* does not repeat its episode")  # where actions were left out
@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
def test_a_broken_checkpoint_of_a_learner_is_refused(tmp_path, name):
    kind, env, arguments, steps = LEARNERS[name]
    path = tmp_path / "learner.pt"
    kind(env, **arguments).learn(steps, checkpoint=path, log_every=8, evaluate_every=8, num_evaluation_episodes=1)
    content = opened(path)
    written(path, content)
    kind.load(path)

    def harmless(what):
        # No other entry shows settings of the right type, numbers of the log, and the number of steps of an episode.
        place, _, how = what.rpartition(" ")
        if "'optimisers'" in place:
            return how in ("missing", "{}")
        if "'actions'" in place:
            return how in ("longer", "shorter", "missing", "{}")
        if "'config'" in place:
            return any(f"'{each}'" in place for each in OTHER_SETTINGS) and how in ("-1", "None", "[]", "True")
        return ("'log'" in place or "'mean'" in place or "'recent'" in place or "'evaluations'" in place) and how in (
            "-1",
            "missing",
            "surplus",
            "[]",
            "{}",
        )

    require_refusals(path, content, kind.load, harmless)


BARE = windy_bridge_in_parts(horizon=2).joint().replace(state_names=None, action_names=None, layout=None)
PARTS = TabularModel(BARE.replace(final_reward=[0.5] * 17), 0.5)
SAVED = {
    "problem": random_mdp(0).replace(state_names=["a", "b", "c"], layout=[(0, 0), (0, 1), None], discount=0.5),
    "model": TabularModel(random_mdp(0), 0.5, [[0.2, 0.8]] * 3),
    "counting model": TabularModel(random_mdp(0), 0.5, "count"),
    "posterior": infer(TabularModel(random_mdp(0, discount=0.5), 0.7), Optimism(1.0, Risk(0.5), torch.rand(3, 3))),
    "posterior with factors": infer(PARTS, Optimism({"own": 0.5, "wind": Risk(torch.rand(17, 1))})),
}


@pytest.mark.parametrize("name", SAVED)
def test_a_broken_saved_value_is_refused(tmp_path, name):
    path = tmp_path / "saved.pt"
    exchange.save(SAVED[name], path)
    content = opened(path)
    exchange.load(path)
    written(path, content)
    exchange.load(path)

    def harmless(what):
        # Another legal setting, which no other entry shows.
        place, _, how = what.rpartition(" ")
        if "'optimism'" in place:
            return how == "-1" or what.endswith(("tensor([0., 0.])", "a number"))
        return (
            how in ("'x'", "None")
            if re.search("names|layout|final_reward", place)
            else place.endswith("'value')") and how == "-1"
        )

    require_refusals(path, content, exchange.load, harmless)


FORGED = {
    "log_policy": (("tensors", "log_policy"), lambda x: x + 0.1, "must hold normalised log-probabilities"),
    "log_dynamics": (("tensors", "log_dynamics"), lambda x: x - 0.1, "must hold normalised log-probabilities"),
    "prior": (("tensors", "model", "action_prior"), lambda x: x * 0.5, "`action_prior.*must sum to 1"),
    "probability": (("tensors", "model", "mdp", "probability"), lambda x: x * 0.5, "`probability.*must sum to 1"),
    "successor": (("tensors", "model", "mdp", "successor"), lambda x: x + 3, "`successor.*must be a state, 0 to 2"),
    "reward": (("tensors", "model", "mdp", "reward"), lambda x: x + math.inf, "`reward.*must be less than"),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_numbers_of_a_saved_value_are_refused(tmp_path, name):
    """The checksum fits, and so do types and sizes."""
    at, forge, message = FORGED[name]
    exchange.save(SAVED["posterior"], tmp_path / "saved.pt")
    content = opened(tmp_path / "saved.pt")
    written(tmp_path / "saved.pt", set_to(content, at, forge(of(content, at))))
    with pytest.raises(InvalidCheckpoint, match=f"{message}.*Pass the `path` of a file that `exchange.save` wrote"):
        exchange.load(tmp_path / "saved.pt")


def test_meaningful_infinities_are_restored(tmp_path):
    """Forbidden outcomes have logits of −inf, masked actions a prior of 0, and rewards may be beyond float32."""
    forbidden = TabularMDP(
        [1.0, 0.0], [[[0.5, 0.5]] * 2] * 2, [[[0, 1]] * 2] * 2, [[[1.0, -math.inf], [0.5, 0.2]], [[0.0, 1.0]] * 2], 3
    )
    model = TabularModel(forbidden)
    fit(model, FreeGuide(model), method="natural_gradient", num_steps=2, checkpoint=tmp_path / "fit.pt")
    content = opened(tmp_path / "fit.pt")
    logits = of(content, ("tensors", "parameters", "policy_logits"))
    fit(model, DeterministicGuide(model), method="natural_gradient", num_steps=2, checkpoint=tmp_path / "hard.pt")
    assert fit(model, FreeGuide(model), method="natural_gradient", resume=tmp_path / "fit.pt").num_steps > 2
    spoilt = set_to(content, ("tensors", "parameters", "policy_logits"), torch.full_like(logits, -math.inf))
    written(tmp_path / "fit.pt", spoilt)
    guide = FreeGuide(model)
    before = copy.deepcopy(guide.state_dict())
    with pytest.raises(InvalidCheckpoint, match="is: `log_policy` of the guide must hold normalised"):
        fit(model, guide, method="natural_gradient", resume=tmp_path / "fit.pt")
    assert all(torch.equal(value, before[name]) for name, value in guide.state_dict().items())

    stuck = TabularMDP([0.5, 0.5], [[[1.0]], [[1.0]]], [[[0]], [[1]]], [[[-math.inf]], [[1.0]]], 1, 0.9)
    stuck = TabularModel(stuck, 0.5)
    part = value_iteration(stuck, 0.0, max_sweeps=3, method="anderson", checkpoint=tmp_path / "v.pt")
    assert part.v[0] == -math.inf
    assert value_iteration(stuck, 0.0, method="anderson", resume=tmp_path / "v.pt").status is ValueStatus.converged


def test_indices_out_of_range_are_refused(tmp_path):
    path, guide = tmp_path / "fit.pt", DeterministicGuide(MODEL)
    fit(MODEL, guide, method="exact", checkpoint=path)
    before, content = guide.actions.clone(), opened(path)
    for index in (-1, 2, 10**12):
        written(path, set_to(content, ("tensors", "parameters", "actions"), torch.full_like(guide.actions, index)))
        with pytest.raises(InvalidCheckpoint, match="does not fit this guide"):
            fit(MODEL, guide, method="exact", resume=path)
        assert torch.equal(guide.actions, before)
    path = tmp_path / "learner.pt"
    SAC("broken/Choice-v0", **TINY).learn(9, checkpoint=path)
    content = opened(path)
    rows = ("tensors", "parts", "experience", "rows")
    for column, value in ((2, 3.0), (2, -1.0), (2, 0.5), (-1, 0.5)):  # the action; whether the episode continues
        spoilt = of(content, rows).clone()
        spoilt[0, column] = value
        written(path, set_to(content, rows, spoilt))
        with pytest.raises(InvalidCheckpoint, match=r"its `parts.experience.rows` must"):
            SAC.load(path)
    for count in (8, 10, 21, 2**70):
        written(path, set_to(content, ("tensors", "parts", "experience", "count"), count))
        with pytest.raises(InvalidCheckpoint, match=r"its `parts.experience.(rows|count)` must"):
            SAC.load(path)
    taken = of(content, ("tensors", "worlds", "actions", "0"))
    written(path, set_to(content, ("tensors", "worlds", "actions", "0"), torch.full_like(taken, 3)))
    with pytest.raises(InvalidCheckpoint, match=r"`worlds.actions.0` must hold actions of Discrete\(3\)"):
        SAC.load(path)


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A module in the current folder that must not be imported."""
    (tmp_path / "evilmod.py").write_text("raise SystemExit('code was run')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield "evilmod:pgm_control/RiskyPath-v0"
    assert "evilmod" not in sys.modules


def run(capsys, *args):
    status = main([*map(str, args)])
    return status, capsys.readouterr().err


def test_a_file_cannot_choose_which_module_is_imported(tmp_path, evil):
    path = tmp_path / "one.pt"
    SAC("pgm_control/RiskyPath-v0", **TINY).learn(5, checkpoint=path)
    written(path, set_to(opened(path), ("json", "facts", "env"), evil))
    with pytest.raises(InvalidCheckpoint, match=r"would import the module before the colon.*load\(path, env=…\)"):
        SAC.load(path)
    assert SAC.load(path, env="pgm_control/RiskyPath-v0").total_steps == 5


def test_a_folder_of_a_run_cannot_choose_which_module_is_imported(capsys, tmp_path, evil):
    folder = tmp_path / "x"
    arguments = ["train", "sac", "broken/Noisy-v0", "--option", "hidden=4", "--option", "batch_size=4"]
    assert run(capsys, *arguments, "--total-steps", 20, "--evaluate-every", 0, "--out", folder)[0] == 0
    for name, command in (("policy.pt", "play"), ("checkpoint.pt", "train --resume")):
        content = opened(folder / name)
        written(folder / name, set_to(content, ("json", "facts", "env"), evil))
        status, err = run(capsys, *command.split(), folder)
        assert (status, err.count("\n")) == (2, 1)
        assert f"{name} names the environment 'evilmod:" in err
        written(folder / name, content)
    facts = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**facts, "env": evil}))
    (folder / "checkpoint.pt").unlink()
    for command in ("play", "train --resume"):
        status, err = run(capsys, *command.split(), folder)
        assert (status, err.count("\n")) == (2, 1)
        assert "run.json names the environment 'evilmod:" in err


def test_broken_files_of_a_run_give_a_one_line_error(capsys, tmp_path):
    folder = tmp_path / "x"
    arguments = ["train", "sac", "broken/Noisy-v0", "--option", "hidden=4", "--option", "batch_size=4"]
    assert run(capsys, *arguments, "--total-steps", 20, "--evaluate-every", 10, "--out", folder)[0] == 0
    policy, checkpoint = (folder / "policy.pt"), (folder / "checkpoint.pt")
    content, whole = opened(policy), checkpoint.read_bytes()

    def harmless(what):
        place, _, how = what.rpartition(" ")
        replaced = any(f"'{each}'" in place for each in ("capacity", "num_envs", "device")) and how in ("-1", "'x'")
        return replaced or (any(f"'{each}'" in place for each in OTHER_SETTINGS) and how in ("None", "[]", "-1"))

    require_refusals(policy, content, lambda path: RunFolder(folder).policy(SAC), harmless)
    written(policy, content)
    facts = json.loads((folder / "run.json").read_text())
    checkpoint.unlink()
    for name, broken in breaks(facts):
        place, _, how = name.rpartition(" ")
        used = any(f"'{each}'" in place for each in ("algorithm", "env", "config", "learn", "tensorboard"))
        legal = any(f"'{each}'" in place for each in (*OTHER_SETTINGS, "hidden", "evaluate_every"))
        legal_flag = "'normalise_observations'" in place and how == "True"  # nothing but the setting is left to tell
        if not used or legal_flag or (legal and how in ("None", "[]", "-1")):
            continue
        try:
            (folder / "run.json").write_text(json.dumps(broken))
        except TypeError:
            continue
        status, err = run(capsys, "train", "--resume", folder)
        assert (status, err.count("\n")) == (2, 1), (name, err)
    (folder / "run.json").write_text(json.dumps(facts))
    checkpoint.write_bytes(whole)
    evaluations = (folder / "evaluations.csv").read_bytes()
    for spoilt in (
        b"step,seconds\n1,2\n",
        evaluations.replace(b"mean", b"mode"),
        evaluations + b"nan,1,1,1,1\n",
        evaluations + b"inf,1,1,1,1\n",
        evaluations + b"1,1,nan,1,1\n",
        evaluations + b"1,1,1,1,1,1\n",
        evaluations + b"1,1\n",
        evaluations + b"\xff,1,1,1,1\n",
        evaluations + b"\0,1,1,1,1\n",
    ):
        (folder / "evaluations.csv").write_bytes(spoilt)
        with pytest.raises(InvalidCheckpoint, match=r"evaluations.csv .*Remove it to play without it"):
            RunFolder(folder).last_evaluation()


def test_broken_lines_of_a_bench_do_not_count(tmp_path):
    row = BenchRow("a", "b", 0, 1.0, 3, "converged", elbo=-math.inf, objective=math.nan)
    file = Store(tmp_path / "results.jsonl")
    file.append({"key": "key", "result": encoded(JobResult(row, (Point(1, -1.0, 0.1),)))})
    kept = file.path.read_bytes()
    assert list(file.results()) == ["key"]
    line = json.loads(kept)
    for name, broken in breaks(line["result"]):
        if "surplus" in name and "'row'" not in name:
            continue
        try:
            file.path.write_bytes(json.dumps({"key": "key", "result": broken}).encode() + b"\n")
        except TypeError:
            continue
        for found in map(decoded, file.results().values()):
            if found is not None:  # its entries have the right types
                assert all(isinstance(each, int | float | str | None) for each in dataclasses.astuple(found.row)), name
                assert all(isinstance(each, int | float) for point in found.objective_history for each in point), name
    for junk in (b"[]", b"5", b"{", b'{"key": [1]}', b'{"key": {}, "result": 1}', b"[" * 100_000, b"\xff"):
        file.path.write_bytes(junk + b"\n" + kept)
        assert list(file.results()) == ["key"]


@pytest.mark.parametrize(
    "arrays",
    [
        {"obs": [[0, 1]], "acts": [["a"]]},
        {"obs": [[0, math.inf]], "acts": [[0]]},
        {"obs": [[0, 1e300]], "acts": [[0]]},
        {"obs": [[0, 1j]], "acts": [[0]]},
        {"obs": [[0, -1]], "acts": [[0]]},
        {"obs": [[0, 1]], "acts": [[7]]},
        {"obs": [[0, 1]], "acts": [[0]], "lengths": [2]},
        {"obs": [[0, 1]], "acts": [[0]], "lengths": [-1]},
        {"obs": [[0, 1]], "acts": [[0]], "lengths": [math.nan]},
        {"obs": [[0, 1]], "acts": [[0]], "terminal": ["yes"]},
        {"obs": [[0, 1]], "acts": np.array([[{}]], dtype=object)},
    ],
)
def test_broken_demonstrations_give_a_one_line_error(capsys, tmp_path, arrays):
    path = tmp_path / "seen.npz"
    np.savez(path, **{name: np.asarray(array) for name, array in arrays.items()})
    status, err = run(capsys, "learn-reward", "risky_path", "--demonstrations", path, "--out", tmp_path / "out")
    assert (status, err.count("\n")) == (2, 1), err
    assert not any(word in err for word in UNSAFE)


def test_files_that_are_not_demonstrations_give_a_one_line_error(capsys, tmp_path):
    np.save(tmp_path / "plain.npy", np.zeros(3))
    np.savez(tmp_path / "whole.npz", obs=np.zeros((1, 2)), acts=np.zeros((1, 1)))
    whole = (tmp_path / "whole.npz").read_bytes()
    for name, content in (
        ("junk.npz", b"junk"),
        ("empty.npz", b""),
        ("cut.npz", whole[: len(whole) // 2]),
        ("flipped.npz", whole.replace(b"NUMPY", b"NUMPZ")),
        ("pickle.npz", b"\x80\x04."),
    ):
        (tmp_path / name).write_bytes(content)
    for name in ("plain.npy", "junk.npz", "empty.npz", "cut.npz", "flipped.npz", "pickle.npz", "nothing.npz", "."):
        status, err = run(
            capsys, "learn-reward", "risky_path", "--demonstrations", tmp_path / name, "--out", tmp_path / "out"
        )
        assert (status, err.count("\n")) == (2, 1), (name, err)
        assert not any(word in err for word in UNSAFE)


def written_by_all(folder):
    """A file of each kind, with the function that reads it."""
    model = TabularModel(random_mdp(3, states=5, discount=0.97), 0.3)
    fit(MODEL, FreeGuide(MODEL), num_steps=3, tolerance=0, checkpoint=folder / "fit.pt")
    value_iteration(model, 0.0, method="anderson", max_sweeps=9, checkpoint=folder / "v.pt")
    SAC("broken/Noisy-v0", **TINY).learn(9, checkpoint=folder / "learner.pt")
    exchange.save(SAVED["posterior"], folder / "saved.pt")
    return {
        folder / "fit.pt": lambda path: fit(MODEL, FreeGuide(MODEL), num_steps=5, resume=path),
        folder / "v.pt": lambda path: value_iteration(model, 0.0, method="anderson", resume=path),
        folder / "learner.pt": SAC.load,
        folder / "saved.pt": exchange.load,
    }


def test_a_flipped_bit_is_found(tmp_path):
    """200 bits of each file are flipped, one at a time."""
    chance = random.Random(0)
    for path, load in written_by_all(tmp_path).items():
        whole = path.read_bytes()
        for place in chance.sample(range(8 * len(whole)), 200):
            flipped = bytearray(whole)
            flipped[place // 8] ^= 1 << place % 8
            path.write_bytes(flipped)
            with pytest.raises(InvalidCheckpoint, match="it is incomplete, was changed after it was written, or was"):
                load(path)


def test_an_edit_by_hand_is_found(tmp_path):
    """Even one that changes nothing: the file is no longer what the library wrote."""
    for path, load in written_by_all(tmp_path).items():
        torch.save(torch.load(path, weights_only=True), path)
        with pytest.raises(InvalidCheckpoint, match="was changed after it was written") as caught:
            load(path)
        said = "".join(traceback.format_exception(caught.value))
        assert not any(word in said for word in UNSAFE)


def test_checksums_are_written_for_any_setting_of_torch(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        for path, load in written_by_all(tmp_path).items():
            load(path)
    finally:
        torch.serialization.set_crc32_options(True)


def test_files_of_other_versions_are_refused_by_name(tmp_path):
    for path, load in written_by_all(tmp_path).items():
        content = opened(path)
        for version in (2, 4, "x", None):
            written(path, set_to(content, ("json", "format"), version))
            message = f"has checkpoint format {version!r}, but this version reads 3. Load it with the version that"
            with pytest.raises(InvalidCheckpoint, match=message):
                load(path)
        written(path, set_to(content, ("json", "kind"), "other"))
        message = "must hold a checkpoint of kind .*, but holds one of kind 'other'. Load it with what wrote it"
        with pytest.raises(InvalidCheckpoint, match=message):
            load(path)


def test_the_number_of_environments_is_checked_before_they_are_made(tmp_path):
    path = tmp_path / "learner.pt"
    SAC("broken/Noisy-v0", **TINY).learn(9, checkpoint=path)
    written(path, set_to(opened(path), ("json", "facts", "config", "num_envs"), 10**9))
    with pytest.raises(InvalidCheckpoint, match="environments side by side was 1, but here it is 1000000000"):
        SAC.load(path)


@pytest.mark.parametrize("room", [0, 100, 1_000, 3_000])
def test_a_full_disk_is_the_systems_error_and_leaves_the_file_before(tmp_path, monkeypatch, room):
    path, content = tmp_path / "file.pt", {"x": torch.arange(1_000.0)}
    checkpoint.write(path, "fit", content, {})
    before = path.read_bytes()

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, piece):
            if self.file.tell() + len(piece) > room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.file.write(piece)

    @contextmanager
    def full(path):
        with written_whole(path) as file:
            yield Full(file)

    monkeypatch.setattr(checkpoint, "written_whole", full)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        checkpoint.write(path, "fit", content, {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
