"""The commands `pgm-control train` and `pgm-control play`."""

import difflib
import inspect
import json
import math
import shlex
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium

from ..chance.risk import Risk
from ..environments.rollout import Rollout
from ..errors import EnvironmentFailure, InvalidArgument, InvalidCheckpoint, MissingExtra, PGMControlError
from ..learners import SAC, KeepBest, Learner, MaxEntPolicyGradient, OriginalSAC, SoftQLearning, StopAtReturn
from ..learners.learning import EvaluationPoint, LearningStatus
from ..plot.progress import curve
from ..runtime.files import alone_in
from ..runtime.progress import Progress
from ..text.tables import grid
from .freed_memory import keep_freed_memory
from .named_problem import run_folder_of
from .options import require_algorithm
from .run_folder import RunFolder
from .tensorboard import TensorBoard

ALGORITHMS: dict[str, type[Learner]] = {
    "sac": SAC,
    "original_sac": OriginalSAC,
    "soft_q": SoftQLearning,
    "policy_gradient": MaxEntPolicyGradient,
}
"""The learners by their names on the command line."""

_STEPS = 20_000
_ROWS, _MOST_APART = 20, 1000  # the number of rows of the log, and the largest number of steps between rows
_SHOWN = 10  # evaluations in the printed table
_ON_THE_BAR = ("return", "evaluation")

Say = Callable[[str], None]


class _Run(NamedTuple):
    """A learner, the folder of its files, and the contents of its `run.json`."""

    folder: RunFolder
    learner: Learner
    facts: dict[str, Any]


def train(asked: Mapping[str, Any], say: Say, bar_over: Callable[[int, str], AbstractContextManager[Progress]]) -> None:
    """Learn, and save everything in a folder.

    Args:
        asked: the options by name; None for an option that is not given.
        say: prints a text.
        bar_over: returns a context with a progress bar over this number of steps, with this title.

    Raises:
        InvalidArgument: if an option is invalid, or another process trains in the folder; the message names it.
        KeyboardInterrupt: after Ctrl-C, when everything is saved and the command to resume is printed.
    """
    keep_freed_memory()
    is_new = asked["resume"] is None
    path = run_folder_of(asked["algorithm"], asked["env"], asked["out"]) if is_new else asked["resume"]
    with alone_in(path, "out" if is_new else "resume"):
        _learned(_begun(asked) if is_new else _resumed(asked), say, bar_over)


def _learned(run: _Run, say: Say, bar_over: Callable[[int, str], AbstractContextManager[Progress]]) -> None:
    """Learn the steps that are left, and save everything."""
    folder, learner, facts = run
    plan, name = facts["learn"], f"{facts['algorithm']} on {facts['env']}"
    board = TensorBoard(folder.path / "tensorboard", learner.total_steps) if facts["tensorboard"] else None
    folder.write_facts({**facts, "status": "running"})
    begins = f"continues after {learner.total_steps} of" if learner.total_steps else "makes"
    seed, total = learner.config["seed"], plan["total_steps"]
    say(f"{name}, seed {seed}: {begins} {total} steps. Ctrl-C stops it and loses nothing.\n")

    def keep(_: object = None) -> None:
        folder.write_log(learner)
        folder.write_policy(learner)
        if board is not None:
            board.write(learner.log, learner.evaluations)

    own: list[Any] = [*([KeepBest(folder.best)] if facts["keep_best"] else []), keep]
    if facts["stop_at_return"] is not None:
        own.append(StopAtReturn(facts["stop_at_return"]))
    status = "failed"
    try:
        with bar_over(plan["total_steps"], facts["algorithm"]) as bar:
            found = learner.learn(**plan, checkpoint=folder.checkpoint, progress=_on_the_bar(bar), callbacks=own)
        status = found.status.name
        keep()
    except EnvironmentFailure as problem:
        learner.save(folder.checkpoint)
        raise EnvironmentFailure(f"{problem} To continue after step {learner.total_steps}: {folder.go_on}") from problem
    except PGMControlError as problem:
        raise type(problem)(f"{problem} The files of the run so far are in {folder.path}.") from problem
    except KeyboardInterrupt:
        status = LearningStatus.interrupted.name
        say(f"Interrupted immediately. To continue from the last checkpoint:\n  {folder.go_on}")
        raise
    finally:
        folder.write_log(learner)
        if board is not None:
            board.close()
        folder.write_facts({**facts, "status": status, "total_steps": learner.total_steps, "seconds": learner.seconds})
    if learner.evaluations:
        say(f"{_table(learner)}\n")
    say(f"{_files(folder, name, learner)}\n")
    if found.status is LearningStatus.interrupted:
        say(f"Interrupted after {learner.total_steps} of {plan['total_steps']} steps. To continue:\n  {folder.go_on}")
        raise KeyboardInterrupt
    if found.status is LearningStatus.stopped:
        say(f"Stopped after {learner.total_steps} of {plan['total_steps']} steps: the return is reached.\n")
    say(f"Next, see what the policy earns:\n  pgm-control play {shlex.quote(str(folder.path))}")


def play(path: Path, num_episodes: int, seed: int, stochastic: bool, gif: Path | None, say: Say) -> None:
    """Evaluate the policy of a run.

    Args:
        path: the folder of the run.
        num_episodes: the number of episodes.
        seed: the seed of environments and policy.
        stochastic: sample the actions, as in training, instead of taking the most probable ones.
        gif: the file for an animation of one episode, or None.
        say: prints a text.
    """
    folder = RunFolder(path)
    facts = folder.facts()
    policy = _made(lambda: folder.policy(_class_in(folder, facts)), facts["env"])
    frames = None
    if gif is not None:  # first, because what is missing for it is said at once
        from .film import film, observed_by

        env, device = facts["env"], policy.device
        make = observed_by(policy, env)
        frames = _made(lambda: film(policy, env, seed, not stochastic, gif, device, make), env)
    how = "actions sampled from the policy" if stochastic else "the most probable actions"
    say(f"{facts['algorithm']} on {facts['env']}, after {policy.total_steps} steps, {how}:\n")
    found = policy.evaluate(num_episodes, seed, deterministic=not stochastic)
    say(str(found))
    if found.lengths.min() < found.lengths.max():
        say(f"lengths from {found.lengths.min()} to {found.lengths.max()} steps")
    say(f"\n{_beside_training(found, folder, stochastic)}")
    if frames is not None:
        say(f"\nFilm of one episode, {frames} steps: {gif}")
    left = facts["learn"]["total_steps"] - policy.total_steps
    if left > 0:
        say(f"\nNext, let it learn the {left} steps that are left:\n  {folder.go_on}")
    else:
        say(f"\nNext, let it learn longer:\n  {folder.go_on} --total-steps {2 * policy.total_steps}")


def _begun(asked: Mapping[str, Any]) -> _Run:
    algorithm, env = asked["algorithm"], asked["env"]
    kind = _class_of(algorithm)
    options = _options(algorithm, kind, asked)
    plan = _plan(asked)
    for name in ("stop_at_return", "keep_best"):
        if plan["evaluate_every"] is None and asked[name] not in (None, False):
            raise InvalidArgument(f"`{name}` needs evaluations, but `evaluate_every` is 0. Leave one of them out.")
    folder = RunFolder(run_folder_of(algorithm, env, asked["out"]))
    folder.require_new()
    learner = _made(lambda: kind(env, **options), env)
    if asked["tensorboard"]:
        TensorBoard.require()
    words = ["pgm-control", "train", algorithm, env]
    for name, value in {**plan, **options, "seed": learner.config["seed"]}.items():
        if isinstance(value, Risk):
            words += ["--risk", str(value.theta)]
        elif value is True and name in asked:
            words += [_flag(name)]
        elif name in asked:
            words += [_flag(name), str(0 if value is None else value)]
        elif name not in plan:
            words += ["--option", f"{name}={json.dumps(value) if not isinstance(value, str) else value}"]
    if asked["stop_at_return"] is not None:
        words += ["--stop-at-return", str(asked["stop_at_return"])]
    words += ["--keep-best"] * asked["keep_best"]
    facts = {
        "algorithm": algorithm,
        "env": env,
        "config": learner.config,
        "learn": plan,
        "tensorboard": asked["tensorboard"],
        "stop_at_return": asked["stop_at_return"],
        "keep_best": asked["keep_best"],
        "command": shlex.join(words + ["--tensorboard"] * asked["tensorboard"]),
    }
    return _Run(folder, learner, facts)


def _resumed(asked: Mapping[str, Any]) -> _Run:
    folder = RunFolder(asked["resume"])
    facts = folder.facts()
    folder.sweep()
    kind, device = _class_in(folder, facts), asked["device"]
    there = folder.checkpoint.exists()
    learner = _made(
        lambda: kind.load(folder.checkpoint, device=device) if there else folder.begun(kind, facts, device),
        facts["env"],
    )
    total_steps = asked["total_steps"]
    if total_steps is not None:
        if total_steps < learner.total_steps:
            raise InvalidArgument(
                f"`total_steps` must be at least {learner.total_steps}, the steps made already, but is "
                f"{total_steps}. Give a larger number, such as --total-steps {2 * learner.total_steps}, or omit it."
            )
        facts["learn"]["total_steps"] = total_steps
    return _Run(folder, learner, facts)


def _plan(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `learn`."""
    total_steps = _STEPS if asked["total_steps"] is None else asked["total_steps"]
    part = max(1, total_steps // _ROWS)
    usual = {"evaluate_every": part, "num_evaluation_episodes": 10, "checkpoint_every": 10 * min(part, _MOST_APART)}
    chosen = {name: asked[name] if asked[name] is not None else usual[name] for name in usual}
    plan = {"total_steps": total_steps, **chosen}
    for name, value in plan.items():
        if value < (0 if name == "evaluate_every" else 1):
            raise InvalidArgument(f"`{name}` must be a whole number, at least 1, but is {value!r}.")
    return {**plan, "evaluate_every": plan["evaluate_every"] or None, "log_every": min(part, _MOST_APART)}


def _options(algorithm: str, kind: type[Learner], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given arguments of the learner, from options of their own or from NAME=VALUE.

    Raises:
        InvalidArgument: if the learner has no such argument, with the arguments that it has.
    """
    parameters = inspect.signature(kind.__init__).parameters
    known = [name for name in parameters if name not in ("self", "env")]
    apart = {name: asked[name] for name in ("seed", "temperature", "optimism", "num_envs", "device")}
    given = {name: _value(value) for name, value in apart.items() if value is not None}
    if asked["normalise_observations"]:
        given["normalise_observations"] = True
    if asked["risk"] is not None:
        given["optimism"] = Risk(asked["risk"])
    for each in asked["option"]:
        name, _, value = each.partition("=")
        given[name.strip().replace("-", "_")] = _value(value.strip())
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            remedy = f" Did you mean {near[0]}?" if near else ""
            typed = "--risk" if isinstance(value, Risk) else _flag(name) if name in apart else name
            raise InvalidArgument(
                f"{algorithm} has no option {typed}.{remedy} It has: {', '.join(known)}. Give those "
                "that are not options of the command as --option NAME=VALUE."
            )
        if isinstance(parameters[name].default, tuple) and not isinstance(value, list):
            given[name] = [] if value == "" else [value]
        elif type(value) is int and (
            isinstance(parameters[name].default, float) or name in ("temperature", "optimism")
        ):
            given[name] = float(value)
    return given


def _value(text: object) -> Any:
    """Return the value of a text: a number, a list if it has commas, true, false, null, or else the text itself."""
    for form in (f"{text}", f"[{text}]" if "," in f"{text}" else ""):
        try:
            return json.loads(form)
        except ValueError:
            continue
    return text


def _class_of(algorithm: str) -> type[Learner]:
    require_algorithm(algorithm)
    return ALGORITHMS[algorithm]


def _class_in(folder: RunFolder, facts: Mapping[str, Any]) -> type[Learner]:
    """Return the class of the learner of a run."""
    try:
        return _class_of(facts["algorithm"])
    except InvalidArgument as problem:
        raise InvalidCheckpoint(f"{folder.path / 'run.json'} does not fit this version: {problem}") from problem


def _made(make: Callable[[], Any], env: str) -> Any:
    """Return the result of `make`; an error becomes a message of one line."""
    try:
        return make()
    except PGMControlError:
        raise
    except (gymnasium.error.Error, ImportError) as problem:
        raise InvalidArgument(f"Gymnasium cannot make {env!r}: {problem}") from problem
    except (TypeError, ValueError, RuntimeError) as problem:  # torch raises RuntimeError for a device
        raise InvalidArgument(f"The options do not fit {env}: {problem}") from problem


def _on_the_bar(bar: Progress) -> Progress:
    return lambda step, metrics: bar(step, {name: metrics[name] for name in _ON_THE_BAR if name in metrics})


def _table(learner: Learner) -> str:
    """Return a table of at most ten evaluations, including the last."""
    points = learner.evaluations
    apart = math.ceil(len(points) / _SHOWN)
    rows = [
        (str(each.step), f"{each.mean:.6g}", _error(each), f"{each.length:.1f}", f"{each.seconds:.1f}")
        for each in points[(len(points) - 1) % apart :: apart]
    ]
    return grid([("step", "return", "± s.e.", "length", "seconds")], rows, left=0)


def _error(point: EvaluationPoint) -> str:
    return f"{point.standard_error:.2g}" if point.standard_error < math.inf else "–"  # of one episode


def _files(folder: RunFolder, name: str, learner: Learner) -> str:
    lines = [f"Log:     {folder.path / 'log.csv'}", f"Policy:  {folder.path / 'policy.pt'}"]
    if folder.best.exists():
        lines.append(f"Best:    {folder.best}")
    try:
        curve(name, learner.log, learner.evaluations, folder.path / "curve.png")
        lines.append(f"Picture: {folder.path / 'curve.png'}")
    except MissingExtra as problem:
        lines.append(f"Picture: none. {problem}")
    return "\n".join(lines)


def _beside_training(found: Rollout, folder: RunFolder, stochastic: bool) -> str:
    """Return the difference from the last evaluation of training, in standard errors, in words."""
    last = folder.last_evaluation()
    if last is None:
        return "The policy was never evaluated in training."
    said = f"{last.earned} after {last.step} steps"
    error = math.hypot(found.standard_error, last.standard_error)
    if 0 < error < math.inf:
        apart = (found.mean - last.mean) / error
        side = "above" if apart > 0 else "below"
        said += f"; this is {abs(apart):.1f} standard errors {side}"
    drawn = " There the policy took its most probable actions." if stochastic else ""
    return f"The last evaluation of training: {said}.{drawn}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
