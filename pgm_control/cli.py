"""The command line: `pgm-control compare NAME`, `bench`, `train ALGORITHM ENV`, `play DIR` and `zoo`.

Whatever is slow to import is imported by the command that needs it, so that `--help` answers at once.
"""

import difflib
import io
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ._errors import InvalidArgument, MissingExtra, PGMControlError

if TYPE_CHECKING:
    from ._compare import Comparison
    from ._fit import Fit
    from ._mdp import TabularMDP
    from ._progress import Progress

TABLE_IDS = ("FrozenLake-v1", "FrozenLake8x8-v1", "CliffWalking-v1", "CliffWalkingSlippery-v1", "Taxi-v4")
"""What Gymnasium has with a transition table."""

_DESCRIPTION = (
    "Control as probabilistic inference: what a guide believes and earns that may change the dice (free), "
    "beside one that may not (clamped)."
)


def main(args: Sequence[str] | None = None) -> int:
    """Run a command; without `args`, the one that was typed.

    Returns:
        The exit status: 0, 2 for a mistake (said in one line on standard error), 130 for Ctrl-C outside of a fit.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a sign shows ? rather than a traceback
    commands: dict[str, Callable[..., Any]] = {each.__name__: each for each in (compare, bench, train, play, zoo)}
    try:
        tyro.extras.subcommand_cli_from_dict(commands, prog="pgm-control", description=_DESCRIPTION, args=args)
    except (PGMControlError, OSError) as problem:
        print(f"pgm-control: {' '.join(str(problem).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("pgm-control: interrupted.", file=sys.stderr)
        return 130
    return 0


def compare(
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")],
    horizon: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    temperature: float = 1.0,
    steps: int = 2000,
    seed: int = 0,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
) -> None:
    """Fit a free and a clamped guide to a problem by SVI, and say in numbers and a picture why they differ.

    Prints both guides, exact and fitted, side by side and explains the difference; writes comparison.png and
    comparison.json. Ctrl-C ends a fit early and goes on with what there is.

    Args:
        name: A problem of the zoo (`pgm-control zoo` lists them), or the id of a Gymnasium environment that has a
            transition table, such as FrozenLake-v1.
        horizon: Number of actions in an episode. By default the problem's own; CliffWalking has none.
        temperature: Reward units per nat, positive. Small: rewards decide; large: the action prior does.
        steps: At most so many steps of SVI for each guide.
        seed: Seed of the fits.
        out: Folder for the picture and the JSON. By default pgm-control-out/NAME.
    """
    mdp = _problem(name, horizon)
    from ._compare import compare as compare_guides
    from .models import TabularModel

    model = TabularModel(mdp, temperature)
    folder = out if out is not None else Path("pgm-control-out") / name.replace("/", "_").replace(":", "_")
    folder.mkdir(parents=True, exist_ok=True)
    given = [f"--horizon {mdp.horizon}", f"--temperature {temperature:g}", f"--steps {steps}", f"--seed {seed}"]
    command = " ".join(["pgm-control compare", shlex.quote(name), *given])
    found = compare_guides(model, steps=steps, seed=seed, progress=_bar_over(steps), name=name, command=command)
    print(_report(found))
    found.save(folder / "comparison.json")
    print(f"\nNumbers: {folder / 'comparison.json'}")
    try:
        from ._picture import picture

        picture(found, folder / "comparison.png")
        print(f"Picture: {folder / 'comparison.png'}")
    except MissingExtra as problem:
        print(f"Picture: none. {problem}")
    reason, following = _next(found, name, horizon)
    print(f"\nNext, {reason}:\n  {following}")


def bench(
    models: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = (),
    guides: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = (),
    guide: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="MODULE:NAME")] = (),
    seeds: int = 3,
    temperature: float = 1.0,
    horizon: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    steps: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    jobs: int = 1,
    backend: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("pgm-control-out/bench"),
) -> None:
    """Fit every guide to every problem, and say what each believes, earns and costs.

    Prints a table; writes results.csv and page.md. Every finished job is kept: after Ctrl-C the same command goes on.

    Args:
        models: Problems of the zoo. By default all.
        guides: Guides of the zoo. By default all.
        guide: A guide of your own, such as my_module:MyGuide, a class or a function of the model, in the current folder
            or installed. Can be given again and again.
        seeds: Number of seeds for each guide on each problem.
        temperature: Reward units per nat, positive. Small: rewards decide; large: the action prior does.
        horizon: Number of actions in an episode, the same for all problems. By default each problem's own.
        steps: At most so many steps for each fit. By default what suits the guide.
        jobs: Processes side by side, -1 for one a core. More than one needs joblib: pip install 'pgm-control[sweep]'.
        backend: Of joblib: loky by default; dask, or one that is registered, such as ray.
        out: Folder for the results.
    """
    from ._bench import bench as bench_guides
    from ._bench_command import command_of, next_of
    from .guides.zoo import guide_zoo

    settings = {"seeds": seeds, "temperature": temperature, "horizon": horizon, "steps": steps}
    asked = {"models": models, "guides": guides, "guide": guide, **settings}
    found = bench_guides(
        models or None,
        (*(guides or guide_zoo()), *guide),
        **settings,
        jobs=jobs,
        backend=backend,
        out=out,
        folder=Path.cwd(),
        progress=lambda total: _bar_over(total)("bench"),
        command=command_of(asked),
    )
    for text in (str(found), f"Table: {out / 'results.csv'}\nPage:  {out / 'page.md'}"):
        print(f"{text}\n")
    if found.left:
        kept = {"jobs": jobs, "backend": backend, "out": out}
        print(f"{found.left} of {found.left + len(found.rows)} jobs are left. To go on:\n  {command_of(asked | kept)}")
        raise KeyboardInterrupt
    reason, following = next_of(found, asked)
    print(f"Next, {reason}:\n  {following}")


def train(
    algorithm: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="ALGORITHM")] = None,
    env: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="ENV")] = None,
    steps: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    resume: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    seed: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    temperature: Annotated[str | None, tyro.conf.arg(metavar="FLOAT|auto")] = None,
    optimism: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None,
    num_envs: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    device: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    option: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME=VALUE")] = (),
    evaluate_every: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    evaluation_episodes: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    checkpoint_every: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    tensorboard: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
) -> None:
    """Learn a policy by interaction, with a clamped guide, and keep what it takes to go on, play and look.

    Args:
        algorithm: sac, original_sac, soft_q or policy_gradient.
        env: The id of a Gymnasium environment, such as Pendulum-v1 or pgm_control/RiskyPath-v0.
        steps: Steps of the environment, those before --resume included. 20000 unless given.
        resume: Go on with the run in this folder. Nothing else is needed; --steps and --device can be given.
        out: Folder for log, evaluations, curves, policy and checkpoint. By default pgm-control-out/ALGORITHM-ENV.
        seed: Seed of everything random. By default a fresh one, which is kept.
        temperature: Reward units per nat, positive. For sac by default auto, learned.
        optimism: The dial: 0 is clamped, the algorithm as published; above it believes in luck. Needs a temperature.
        num_envs: Copies of the environment side by side.
        device: cpu or cuda.
        option: Any other argument of the learner, such as hidden=64,64; repeatable. A wrong name lists them all.
        evaluate_every: Steps between evaluations, 0 for none. By default a twentieth of the steps.
        evaluation_episodes: Episodes in each. 10 unless given.
        checkpoint_every: Steps that a kill would lose. By default half of the steps, at most 10000.
        tensorboard: Write the log for TensorBoard as well: pip install 'pgm-control[tensorboard]'.
    """
    asked = dict(locals())
    from . import _train_command as command

    command.train(asked, print, _bar_over)


def play(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")],
    episodes: int = 20,
    seed: int = 0,
    stochastic: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    gif: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Evaluate the policy of a training run, beside what it earned in training.

    Args:
        folder: Of the run; `pgm-control train` says where.
        episodes: Number of whole episodes.
        seed: Seed of the environments and the policy.
        stochastic: Draw the actions, as in training, rather than take the most probable ones.
        gif: Write a film of one episode, if the environment can draw itself.
    """
    from . import _train_command as command

    command.play(folder, episodes, seed, stochastic, gif, print)


def zoo() -> None:
    """List the named problems, with their sizes."""
    from .models import zoo as entries

    width = max(map(len, entries()))
    for name, entry in entries().items():
        mdp = entry.build()
        print(f"{name:<{width}}  {_sizes(mdp)}\n{_wrapped(entry.summary, indent=width + 2)}")
    print()
    print(_wrapped(f"Gymnasium environments with a transition table serve as well: {', '.join(TABLE_IDS)}."))
    print("\nNext:\n  pgm-control compare restaurant")


def _problem(name: str, horizon: int | None) -> "TabularMDP":
    """From the zoo or from Gymnasium.

    Raises:
        InvalidArgument: if neither knows the name, with the nearest that they know.
    """
    import gymnasium

    from ._mdp import TabularMDP
    from .models import zoo as entries

    if name in entries():
        mdp = entries()[name].build()
        return mdp if horizon is None else mdp.replace(horizon=horizon)
    try:
        env = gymnasium.make(name)
    except gymnasium.error.DependencyNotInstalled as problem:
        raise InvalidArgument(f"Gymnasium cannot make {name!r}: {problem}") from problem
    except (gymnasium.error.Error, ImportError) as problem:
        known = {_plain(each): each for each in (*entries(), *TABLE_IDS)}
        near = difflib.get_close_matches(_plain(name), known, n=2, cutoff=0.5)
        remedy = f" Did you mean {' or '.join(known[each] for each in near)}?" if near else ""
        raise InvalidArgument(
            f"There is no problem {name!r}, in the zoo or in Gymnasium.{remedy} `pgm-control zoo` lists them all."
        ) from problem
    return TabularMDP.from_gymnasium(env, horizon)


def _sizes(mdp: "TabularMDP") -> str:
    return f"{mdp.num_states} states, {mdp.num_actions} actions, T = {mdp.horizon}"


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _bar_over(steps: int) -> "Callable[[str], AbstractContextManager[Progress]]":
    """A progress bar for each guide on a terminal, nothing elsewhere."""

    @contextmanager
    def report(guide: str) -> "Iterator[Progress]":
        from ._progress import ProgressBar, silent

        if not sys.stderr.isatty():
            yield silent
            return
        with ProgressBar(steps, f"{guide:>7}") as bar:
            yield bar

    return report


def _report(found: "Comparison") -> str:
    """The scorecard, the sentences, and what there is to know about the fits."""
    from ._fit import Status
    from ._wording import amount

    mdp, temperature = found.model.mdp, found.model.temperature
    lines = [f"{found.name}: {_sizes(mdp)}, temperature {temperature:g}", "", str(found.scorecard), ""]
    lines += [_wrapped(sentence, indent=2, first="• ") for sentence in found.explanation.sentences]
    for name, fit in found.fits.items():
        if fit.status is not Status.converged:
            short = amount(found.short_of_optimum(name))
            after = f"The fit of the {name} guide, after {fit.steps} steps, is {short} nats short of its optimum"
            lines += ["", _wrapped(f"{after}. {_message(fit)}")]
    if "clamped" not in found.fits:
        lines += ["", "The clamped guide was not fitted, because the fit of the free one was interrupted."]
    for name in found.untrained:
        earned = {kind: amount(found.scorecard.scores[f"{name}, {kind}"].true_return) for kind in ("exact", "fitted")}
        text = f"The fit of the {name} guide is within {amount(found.short_of_optimum(name))} nats of its optimum and "
        text += f"yet truly earns {earned['fitted']}, not {earned['exact']}: an ELBO is an average over what the guide "
        lines += ["", _wrapped(text + "imagines, so where it never expects to be its policy stays untrained.")]
    return "\n".join(lines)


def _message(fit: "Fit[Any]") -> str:
    """That of the status, with the remedy that the command line has."""
    from ._fit import Status

    happened = fit.status.value.partition(". ")[0]
    if fit.status is Status.out_of_steps:
        return f"{happened}. Try --steps\u00a0{2 * fit.steps}."
    if fit.status is Status.interrupted:
        return f"{happened}. For the whole fit run the command again."
    return fit.status.value


def _next(found: "Comparison", name: str, horizon: int | None) -> tuple[str, str]:
    """What to try now, and the command."""
    from .models import zoo as entries

    same_length = f" --horizon {horizon}" if horizon is not None else ""
    again = f"pgm-control compare {shlex.quote(name)}{same_length} --temperature"
    temperature = found.model.temperature
    twin = entries()[name].twin if name in entries() else None
    twin_of = next((each.name for each in entries().values() if each.twin == name), None)
    if not found.explanation.dice:
        if twin_of is not None:
            return "the same problem with its dice", f"pgm-control compare {twin_of}{same_length}"
        return "a problem in which chance matters", "pgm-control compare slippery_cliff"
    if found.explanation.choice.apart < 0.01:
        return "let rewards weigh more against the action prior", f"{again} {temperature / 10:g}"
    if twin is not None:
        return "the same problem without chance, where the two agree", f"pgm-control compare {twin}{same_length}"
    return "let rewards weigh less against the action prior", f"{again} {temperature * 10:g}"


def _wrapped(text: str, indent: int = 0, first: str | None = None) -> str:
    """To the width of the terminal, at most 110."""
    width = min(110, max(60, shutil.get_terminal_size().columns))
    opening = " " * indent if first is None else first
    kept = re.sub(r"(\(\d+,) (\d+\))", "\\1\u00a0\\2", text)  # the name of a cell stays on one line
    lines = textwrap.fill(kept, width, initial_indent=opening, subsequent_indent=" " * indent, break_on_hyphens=False)
    return lines.replace("\u00a0", " ")
