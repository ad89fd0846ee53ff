"""The commands `pgm-control train` and `pgm-control play`."""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from ..environments.rollout import Rollout
from ..errors import EnvironmentFailure, InvalidArgument, MissingExtra, PGMControlError
from ..learners import KeepBest, Learner, StopAtReturn
from ..learners.learning import EvaluationPoint, LearningStatus
from ..plot.progress import curve
from ..runtime.files import alone_in
from ..runtime.progress import Progress
from ..text.tables import grid
from .freed_memory import keep_freed_memory
from .named_problem import run_folder_of
from .options import require_algorithm
from .run_folder import RunFolder
from .training.learner import ALGORITHMS, learner_in, made
from .training.settings import command_of, options_of, plan_of
from .training.tensorboard import TensorBoard

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
    say(f"Next, see what the policy earns:\n  {folder.play}")


def play(
    path: Path, num_episodes: int, seed: int, stochastic: bool, gif: Path | None, import_: str | None, say: Say
) -> None:
    """Evaluate the policy of a run.

    Args:
        path: the folder of the run.
        num_episodes: the number of episodes.
        seed: the seed of environments and policy.
        stochastic: sample the actions, as in training, instead of taking the most probable ones.
        gif: the file for an animation of one episode, or None.
        import_: the module that registers the environment, which is imported already, or None.
        say: prints a text.
    """
    folder = RunFolder(path, import_)
    facts = folder.facts()
    policy = made(lambda: folder.policy(learner_in(folder.path / "run.json", facts["algorithm"])), facts["env"])
    frames = None
    if gif is not None:  # first, because what is missing for it is said at once
        from .film import film, observed_by

        env, device = facts["env"], policy.device
        make = observed_by(policy, env)
        frames = made(lambda: film(policy, env, seed, not stochastic, gif, device, make), env)
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
    options = options_of(algorithm, kind, asked)
    plan = plan_of(asked)
    for name in ("stop_at_return", "keep_best"):
        if plan["evaluate_every"] is None and asked[name] not in (None, False):
            raise InvalidArgument(f"`{name}` needs evaluations, but `evaluate_every` is 0. Leave one of them out.")
    folder = RunFolder(run_folder_of(algorithm, env, asked["out"]), asked["import_"])
    folder.require_new()
    learner = made(lambda: kind(env, **options), env)
    if asked["tensorboard"]:
        TensorBoard.require()
    facts = {
        "algorithm": algorithm,
        "env": env,
        "config": learner.config,
        "learn": plan,
        "tensorboard": asked["tensorboard"],
        "stop_at_return": asked["stop_at_return"],
        "keep_best": asked["keep_best"],
        "import": asked["import_"],
        "command": command_of(asked, plan, {**options, "seed": learner.config["seed"]}),
    }
    return _Run(folder, learner, facts)


def _resumed(asked: Mapping[str, Any]) -> _Run:
    folder = RunFolder(asked["resume"], asked["import_"])
    facts = folder.facts()
    folder.sweep()
    kind, device = learner_in(folder.path / "run.json", facts["algorithm"]), asked["device"]
    there = folder.checkpoint.exists()
    learner = made(
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


def _class_of(algorithm: str) -> type[Learner]:
    """Return the class of a learner, by its name.

    Raises:
        InvalidArgument: if there is none of this name.
    """
    require_algorithm(algorithm)
    return ALGORITHMS[algorithm]


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
