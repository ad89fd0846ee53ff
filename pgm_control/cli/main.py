"""The command line: `pgm-control compare NAME`, `report NAME`, `learn-reward NAME` and other commands.

Modules that are slow to import are imported by the command that needs them, so that `--help` is fast.
"""

import io
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ..errors import PGMControlError
from ..kernels.backend import before_compiling
from ..runtime.versions import VERSION
from ..text.terminal import bar_over, folded, note
from .exercise import exercise
from .list_problems import zoo
from .options import OWN_MODULE, in_options, require_demonstrations, require_options, require_run
from .own_module import import_own
from .plan import plan
from .sweep import sweep

_DESCRIPTION = (
    "Control as probabilistic inference: compare a guide that may change the dynamics (free) with a guide that may "
    "not (clamped). `pgm-control --version` prints the version."
)


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: the command and its arguments; default: those of the process.

    Returns:
        The exit status: 0, 1 for an exercise with a wrong answer or a sweep with failed jobs, 2 for a mistake (reported
        in one line on standard error), 130 for Ctrl-C outside of a fit.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows ? instead of a traceback
    args = sys.argv[1:] if args is None else list(args)
    if args == ["--version"]:
        print(f"pgm-control {VERSION}")
        return 0
    commands: dict[str, Callable[..., Any]] = {
        each.__name__.replace("_", "-"): each
        for each in (compare, report, explore, bench, sweep, train, play, plan, learn_reward, zoo, exercise)
    }
    command = commands.get(next(iter(args), ""), main)
    try:
        with before_compiling(note), warnings.catch_warnings():
            warnings.showwarning = _show_warning
            if command is main:
                found = tyro.extras.subcommand_cli_from_dict(
                    commands, prog="pgm-control", description=_DESCRIPTION, args=args
                )
            else:  # alone, so that its messages name it
                found = tyro.cli(command, prog=f"pgm-control {args[0]}", args=args[1:])
    except (PGMControlError, OSError) as problem:
        note(f"pgm-control: {in_options(' '.join(str(problem).split()), command, args)}")
        return 2
    except (MemoryError, RuntimeError) as problem:  # torch has no error of its own for memory
        if not isinstance(problem, MemoryError) and "allocate" not in str(problem):
            raise
        note("pgm-control: There is not enough memory for this problem. Give a smaller one.")
        return 2
    except KeyboardInterrupt:
        note("pgm-control: interrupted.")
        return 130
    return found if isinstance(found, int) else 0


def _show_warning(message: Warning | str, *_: object) -> None:
    """Print a warning in one line, without the path and the source line of the code that gave it."""
    note(f"pgm-control: {' '.join(str(message).split())}")


def compare(
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")],
    horizon: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    temperature: Annotated[float | Literal["auto"] | None, tyro.conf.arg(metavar="FLOAT|auto")] = None,
    num_steps: int = 2000,
    seed: int = 0,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
) -> None:
    """Fit a free and a clamped guide to a problem by SVI, and explain how they differ, in numbers and in a picture.

    Prints the scores of both guides, exact and fitted, and explains the difference; writes comparison.png and
    comparison.json. Ctrl-C ends a fit early; the command continues with the partial fit. A continuous problem is solved
    exactly, and nothing is fitted.

    Args:
        name: A problem in the zoo (`pgm-control zoo` lists them), or the id of a Gymnasium environment that has a
            transition table, such as FrozenLake-v1.
        horizon: Number of actions in an episode. Default: the problem's own. Times states, actions and outcomes it may
            make at most 10 million.
        temperature: Reward units per nat, positive. If small, rewards dominate; if large, the action prior does.
            Default: one at which the problem shows something; 1 for a problem that `pgm-control zoo` does not list.
            auto: the largest at which the clamped guide earns 90 % of the way from the action prior to the best return.
        num_steps: Largest number of SVI steps for each guide.
        seed: Seed of the fits, and of the episodes in the picture.
        out: Folder for the picture and the JSON. Default: pgm-control-out/NAME.
    """
    require_options(locals(), folder="out")
    from . import compare as command

    command.compare(name, horizon, temperature, num_steps, seed, out, print, bar_over)


def report(
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")],
    horizon: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    temperature: Annotated[float | Literal["auto"] | None, tyro.conf.arg(metavar="FLOAT|auto")] = None,
    num_steps: int = 2000,
    seed: int = 0,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Write the results of `compare`, with more plots, as one page of HTML that needs no other file.

    Args:
        name: A problem in the zoo, or the id of a Gymnasium environment that has a transition table.
        horizon: Number of actions in an episode. Default: the problem's own.
        temperature: Reward units per nat, positive. Default: as in `compare`.
        num_steps: Largest number of SVI steps for each guide.
        seed: Seed of the fits.
        out: The page. Default: pgm-control-out/NAME/report.html.
    """
    require_options(locals(), file="out")
    from . import compare as command

    command.report(name, horizon, temperature, num_steps, seed, out, print, bar_over)


def explore(
    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = None,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    browser: bool = True,
) -> None:
    """Write the explorer, one page that solves a problem while you change its settings, and open it.

    Args:
        name: The problem that is shown first: a problem in the zoo, or the id of a small Gymnasium environment that
            has a transition table. Default: the first in the zoo.
        out: The page. It works offline, from the file. Default: pgm-control-out/NAME/explorer.html.
        browser: Open the page in the browser.
    """
    require_options(locals(), file="out")
    from ..models import zoo as entries
    from ..reports.explorer import explore as write_and_open
    from .named_problem import folder_of, named_model

    path = folder_of(name or "") / "explorer.html" if out is None else out
    first = name if name is None or name in entries() else named_model(name, None, None)
    print(f"Explorer: {write_and_open(first, path, browser, name or 'your problem')}")


def bench(
    models: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = (),
    guides: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = (),
    guide: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="MODULE:NAME")] = (),
    num_seeds: int = 3,
    temperature: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None,
    horizon: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    num_steps: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    engine: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    jobs: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("pgm-control-out/bench"),
) -> None:
    """Fit every guide to every problem, and report the ELBO, the returns and the cost of each.

    Prints a table; writes results.csv and page.md. Every finished job is kept: after Ctrl-C the same command resumes.

    Args:
        models: Problems in the zoo. Default: all.
        guides: Guides in the zoo. Default: all.
        guide: Your own guide as module:name, such as my_module:MyGuide: a class or function that takes the model. The
            module is installed or in the current folder. Can be given several times.
        num_seeds: Number of seeds for each guide on each problem.
        temperature: Reward units per nat, positive, the same for all problems. Default: each problem's own.
        horizon: Number of actions in an episode, the same for all problems. Default: each problem's own.
        num_steps: Largest number of steps for each fit. Default: as the guide's entry in the zoo says.
        engine: What runs the jobs, as for `sweep`: loky, dask, ray or tcp://HOST:PORT. Default: this process.
        jobs: Jobs at a time, -1 for one per core. More than one without an engine means loky: pip install joblib.
        out: Folder for the results.
    """
    require_options(locals(), folder="out")
    from ..benchmark.bench import bench as bench_guides
    from ..benchmark.command import command_of, next_of
    from ..guides.zoo import guide_zoo
    from ..models import zoo as entries
    from .named_problem import named_problem

    for name in {*(models or entries())} & {*entries()}:
        named_problem(name, horizon)  # refuses a problem that is too large
    settings = {"num_seeds": num_seeds, "temperature": temperature, "horizon": horizon, "num_steps": num_steps}
    asked = {"models": models, "guides": guides, "guide": guide, **settings}
    chosen = (*(guides or guide_zoo()), *guide)
    with bar_over(len(set(models or entries())) * len(set(chosen)) * num_seeds, "bench") as bar:
        found = bench_guides(
            models or None,
            chosen,
            **settings,
            engine=engine,
            jobs=jobs,
            out=out,
            folder=Path.cwd(),
            progress=bar,
            command=command_of(asked),
        )
    for text in (folded(str(found), left=2), f"Table: {out / 'results.csv'}\nPage:  {out / 'page.md'}"):
        print(f"{text}\n")
    if found.num_left:
        kept = {"engine": engine, "jobs": jobs, "out": out}
        left = f"{found.num_left} of {found.num_left + len(found.rows)} jobs are left."
        print(f"{left} To continue:\n  {command_of(asked | kept)}")
        raise KeyboardInterrupt
    reason, following = next_of(found, asked)
    print(f"Next, {reason}:\n  {following}")


def train(
    algorithm: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="ALGORITHM")] = None,
    env: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="ENV")] = None,
    total_steps: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    resume: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    seed: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    temperature: Annotated[str | None, tyro.conf.arg(metavar="FLOAT|auto")] = None,
    optimism: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None,
    risk: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None,
    num_envs: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    device: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    normalise_observations: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    option: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME=VALUE")] = (),
    evaluate_every: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    num_evaluation_episodes: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    checkpoint_every: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    stop_at_return: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None,
    keep_best: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    tensorboard: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    import_: Annotated[str | None, OWN_MODULE] = None,
) -> None:
    """Learn a policy by interaction, with a clamped guide, and save the files to resume, play and inspect the run.

    Args:
        algorithm: sac, original_sac, soft_q or policy_gradient.
        env: The id of a Gymnasium environment, such as Pendulum-v1 or pgm_control/RiskyPath-v0.
        total_steps: Steps of the environment, including those before --resume. Default: 20000.
        resume: Resume the run in this folder. No other option is needed; --total-steps and --device can be given.
        out: Folder for log, evaluations, curves, policy and checkpoint. Default: pgm-control-out/ALGORITHM-ENV.
        seed: Seed of all random numbers. Default: a fresh one, which is saved.
        temperature: Reward units per nat. 0: the hard limit, such as Q-learning for soft_q. Default for sac: auto,
            which is learned.
        optimism: The dial β. 0: clamped, the algorithm as published; above 0: optimistic. Needs a temperature.
        risk: Instead of --optimism, the risk parameter θ = β/τ, per reward unit, at any temperature. Below 0: averse.
        num_envs: Number of parallel copies of the environment.
        device: cpu or cuda.
        normalise_observations: Normalise observations by their running mean and variance, which are saved.
        option: Any other argument of the learner, such as hidden=64,64; repeatable. A wrong name lists all of them.
        evaluate_every: Steps between evaluations, 0 for none. Default: a twentieth of the steps.
        num_evaluation_episodes: Episodes per evaluation. Default: 10.
        checkpoint_every: Steps between checkpoints. Default: half of the steps, at most 10000.
        stop_at_return: Stop when the mean return of an evaluation is at least this.
        keep_best: Also keep the learner with the best evaluation, in best.pt, for Learner.load.
        tensorboard: Also write the log for TensorBoard: pip install tensorboard.
        import_: A module that registers the environment, installed or in the current folder: mine for mine.py.
    """
    asked = dict(locals())
    import_own(import_)
    require_run(asked)
    require_options(asked, folder="out", may_be_hard=True)
    from . import train as command

    command.train(asked, print, bar_over)


def play(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")],
    num_episodes: int = 20,
    seed: int = 0,
    stochastic: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    gif: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    import_: Annotated[str | None, OWN_MODULE] = None,
) -> None:
    """Evaluate the policy of a training run, and compare it with the last evaluation in training.

    Args:
        folder: Folder of the run; `pgm-control train` prints it.
        num_episodes: Number of whole episodes.
        seed: Seed of the environments and the policy.
        stochastic: Sample the actions, as in training, instead of the most probable ones.
        gif: Write an animation of one episode, if the environment can render images.
        import_: A module that registers the environment, as in `train`.
    """
    import_own(import_)
    require_options(locals(), file="gif")
    from . import train as command

    command.play(folder, num_episodes, seed, stochastic, gif, import_, print)


def learn_reward(
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")],
    demonstrations: Annotated[Path | None, tyro.conf.arg(metavar="FILE.npz")] = None,
    num_episodes: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    demonstrator: Annotated[str | None, tyro.conf.arg(metavar="clamped|free|boltzmann|FLOAT")] = None,
    risk: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None,
    by: Annotated[str | None, tyro.conf.arg(metavar="clamped|free|boltzmann|FLOAT")] = None,
    of: Annotated[str, tyro.conf.arg(metavar="state|state_action|outcome")] = "state",
    prior: Annotated[str, tyro.conf.arg(metavar="FLOAT|none|weak")] = "weak",
    horizon: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    temperature: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None,
    num_steps: int = 2000,
    seed: int = 0,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
) -> None:
    """Find the reward that explains what a demonstrator did, by maximum-entropy inverse reinforcement learning.

    Prints the learned reward beside the problem's own, and how well it explains the demonstrations; writes reward.csv,
    reward.json and reward.png.

    Args:
        name: A problem in the zoo, or the id of a Gymnasium environment that has a transition table.
        demonstrations: File with obs, the states (n, T + 1), and acts, the actions (n, T); where needed, lengths (n),
            the number of actions, and terminal (n), whether the environment ended the episode.
        num_episodes: Instead of a file, number of episodes to sample from a demonstrator of the problem's own reward.
        demonstrator: Assumed model of the demonstrator. clamped: it knows the dynamics. free: it believes that it
            controls them. boltzmann: it expects no later errors of its own. A number: the optimism β of its plan.
            Default: clamped.
        risk: Instead of --demonstrator, the risk parameter θ = β/τ of its plan, per reward unit. Below 0: averse.
        by: With --num-episodes, the demonstrator that acts. Default: the assumed one.
        of: The entries that have a reward of their own.
        prior: Standard deviation of a Gaussian prior of every reward, in reward units; 0 or none for no prior. Default:
            a weak one, of 10 temperatures.
        horizon: Number of actions in an episode. Default: the problem's own.
        temperature: Reward units per nat, positive. Default: as in `compare`.
        num_steps: Largest number of iterations, of all starts together.
        seed: Seed of the sampled episodes.
        out: Folder for table, numbers and picture. Default: pgm-control-out/NAME-reward.
    """
    asked = dict(locals())
    require_options(asked, folder="out")
    require_demonstrations(demonstrations, num_episodes)
    from . import learn_reward as command

    command.learn_reward(asked, print, bar_over)
