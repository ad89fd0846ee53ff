"""The command `plan`: act in an environment by planning anew at each step."""

import difflib
import math
import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import gymnasium
import tyro

from ..errors import InvalidArgument, MissingExtra, PGMControlError
from ..text.terminal import bar_over, wrapped
from .named_problem import CONTINUOUS_NAMES, TABLE_IDS, is_in_zoo, named_model, require_name, run_folder_of
from .options import OWN_MODULE, require_options
from .own_module import import_own
from .planning.pendulum import PENDULUM

if TYPE_CHECKING:
    from .planning.episodes import Row, Task
    from .planning.folder import PlanFolder

PLANNERS = ("mppi", "cem", "smc", "receding")
"""The names of the planners."""
_EPISODES = 20
_LEAST = {"num_plans": 2, "num_noise_samples": 1}


class _Run(NamedTuple):
    """What is done, the folder of its files, the contents of its `run.json`, and the episodes that are done."""

    task: "Task"
    folder: "PlanFolder"
    facts: dict[str, Any]
    rows: "list[Row]"


def plan(
    env: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ENV")],
    planner: Annotated[str, tyro.conf.arg(metavar="mppi|cem|smc|receding")] = "mppi",
    num_episodes: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    seed: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    optimism: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None,
    risk: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None,
    num_plans: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    num_noise_samples: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    horizon: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    temperature: Annotated[str | None, tyro.conf.arg(metavar="FLOAT|ess:FLOAT")] = None,
    terminal: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    option: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME=VALUE")] = (),
    gif: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    import_: Annotated[str | None, OWN_MODULE] = None,
) -> None:
    """Act by planning anew at each step, for whole episodes, and save their returns and the weights of the plans.

    Every finished episode is kept: after Ctrl-C or a crash the same command continues. Episodes have seeds of their
    own, so that they do not depend on where the run was interrupted.

    Args:
        env: A problem in the zoo (`pgm-control zoo` lists them), tabular or continuous; the id of a Gymnasium
            environment that has a transition table; or Pendulum-v1.
        planner: mppi: plans weighted by the exponential of their score. cem: refitted to the best plans. smc: particles
            that see the states, with the exact value as their terminal value. receding: the exact optimum of what is
            left of the episode, solved at each step.
        num_episodes: Number of episodes, including those that are done. Default: 20.
        out: Folder for log, settings and picture. Default: pgm-control-out/PLANNER-ENV.
        seed: Seed of all random numbers. Default: a fresh one, which is saved.
        optimism: The dial β of the noise. 0: clamped; 1: free; below 0: robust. Default: 0. With one draw for each plan
            mppi and smc are free whatever it is.
        risk: Instead of --optimism, the risk parameter θ = β/τ, per reward unit. Below 0: averse.
        num_plans: Number of plans or particles. Default: the planner's own.
        num_noise_samples: Draws of the noise for each plan. Default: the planner's own; 1 for Pendulum-v1, which has no
            noise.
        horizon: Steps of a plan. Default: all that are left of the episode; 15 for Pendulum-v1.
        temperature: Reward units per nat, positive; or ess:0.3, solved at each step for 30 % effective plans (mppi
            only). Default: as in `compare`.
        terminal: A run of `pgm-control train` in the same environment, whose critic values the states after a plan.
        option: Any other argument of the planner, such as num_sweeps=3; repeatable. A wrong name lists all of them.
        gif: Write an animation of the first episode, if the environment can render images.
        import_: A module that registers the environment, installed or in the current folder: mine for mine.py.
    """
    asked = dict(locals())
    import_own(import_)
    _require(asked)
    from ..runtime.files import alone_in

    with alone_in(run_folder_of(planner, env, out)):
        _run(asked, print)


def _require(asked: Mapping[str, Any]) -> None:
    """Check the options, before anything slow is imported.

    Raises:
        InvalidArgument: if one does not fit; the message names it.
    """
    name, value, temperature = asked["env"], asked["planner"], asked["temperature"]
    if value not in PLANNERS:
        near = difflib.get_close_matches(value.lower(), PLANNERS, n=1)
        remedy = f" Did you mean {near[0]}?" if near else ""
        raise InvalidArgument(f"There is no planner {value!r}.{remedy} There are: {', '.join(PLANNERS)}.")
    _require_env(name)
    require_options(
        {key: each for key, each in asked.items() if key not in ("env", "temperature", "gif")}, folder="out"
    )
    require_options({"gif": asked["gif"]}, file="gif")
    for key, least in _LEAST.items():
        if asked[key] is not None and not least <= asked[key] < 2**31:
            raise InvalidArgument(f"`{key}` must be a whole number, at least {least}, but is {asked[key]}.")
    if temperature is not None:
        _temperature(temperature)
        if temperature.startswith("ess:") and value != "mppi":
            raise InvalidArgument(f"`temperature` must be a number for {value}, but is {temperature}.")
    if value == "receding":
        for key in ("num_plans", "num_noise_samples", "terminal", "option"):
            if asked[key] not in (None, ()):
                raise InvalidArgument(f"`{key}` is for planners that draw plans, not for receding. Leave it out.")


def _require_env(name: str) -> None:
    """Require a problem whose dynamics are known, as far as that can be known without importing a module of the user.

    Raises:
        InvalidArgument: if there is none of this name.
    """
    if name == PENDULUM:
        return
    require_name(name)
    if name in (*CONTINUOUS_NAMES, *TABLE_IDS) or is_in_zoo(name) or ":" in name:
        return
    try:
        bare = gymnasium.make(name).unwrapped
    except (gymnasium.error.Error, ImportError):
        return  # named_problem says why
    if not (hasattr(bare, "P") and hasattr(bare, "initial_state_distrib")):
        raise InvalidArgument(
            f"`env` must be a problem whose dynamics are known, but {name} is not: a problem of the zoo (`pgm-control "
            f"zoo` lists them), an environment with a transition table (`P` and `initial_state_distrib`), such as "
            f"{', '.join(TABLE_IDS)}, or {PENDULUM}. In Python, write a Simulator."
        )


def _temperature(given: str) -> float:
    """The number in the option, that of the ESS if it is one.

    Raises:
        InvalidArgument: if it is none.
    """
    is_size = given.startswith("ess:")
    try:
        found = float(given.removeprefix("ess:"))
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf or (is_size and found > 1):
        raise InvalidArgument(
            "`temperature` must be a positive number of reward units per nat, or ess: and a fraction of the plans, "
            f"above 0 and at most 1, such as ess:0.3, but is {given}."
        )
    return found


def _run(asked: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Play the episodes that are left, and write and print the results."""
    from ..runtime.interrupt import deferred_interrupt
    from .planning.episodes import played

    run = _begun(asked)
    task, folder, facts, rows = run
    filmed = None if asked["gif"] is None else _filmed(run, asked["gif"])  # first: what is missing is said at once
    total, done = facts["num_episodes"], len(rows)
    begins = f"continues after {done} of" if done else "plays"
    count = f"{total} episode{'s' * (total > 1)}"
    say(f"{task.name}, seed {facts['seed']}: {begins} {count}. Ctrl-C keeps those that are done.\n")
    status = "failed"
    folder.write_facts({**facts, "status": "running"})
    try:
        with bar_over(total, facts["planner"]) as bar, deferred_interrupt() as pressed:
            while len(rows) < total and not pressed():
                row = played(task, facts["seed"], len(rows), pressed)
                if row is None:
                    break
                folder.write_log([*rows, row])
                rows.append(row)
                bar(len(rows), {"return": math.fsum(float(each["return"] or 0.0) for each in rows) / len(rows)})
        status = "complete" if len(rows) >= total else "interrupted"
    except KeyboardInterrupt:
        status = "interrupted"
        say(f"Interrupted immediately, after {len(rows)} of {total} episodes. To continue:\n  {_again(run)}")
        raise
    except PGMControlError:
        if rows:
            say(f"It failed in episode {len(rows) + 1}. Those that are done are in {folder.path}.")
        raise
    finally:
        if status != "failed":
            folder.write_facts({**facts, "status": status})
        else:
            with suppress(OSError, InvalidArgument):  # the folder may be the reason
                if rows:
                    folder.write_facts({**facts, "status": status})
                else:
                    folder.forget()
    if rows:
        say(_results(run))
    if status == "interrupted":
        say(f"Interrupted after {len(rows)} of {total} episodes. To continue:\n  {_again(run)}")
        raise KeyboardInterrupt
    if filmed is not None:
        say(filmed)
    say(f"Next, {_next(run)}")


def _begun(asked: Mapping[str, Any]) -> _Run:
    """A new run, or the one in the folder if its settings are these."""
    from ..runtime.randomness import integer_of
    from .planning.episodes import Task
    from .planning.folder import PlanFolder
    from .planning.problem import environment_of, planner_maker
    from .planning.settings import command_of, require_same, settings_of

    env, kind = asked["env"], asked["planner"]
    settings = settings_of(asked)
    critic = None if asked["terminal"] is None else _critic(asked["terminal"], env)
    if critic is not None:
        settings["terminal_steps"] = critic.total_steps
    folder = PlanFolder(run_folder_of(kind, env, asked["out"]))
    before = folder.facts()
    if before is None:
        folder.require_no_files()
    else:
        require_same(folder.path, before, env, kind, settings, asked["seed"])
    seed = integer_of(None) if asked["seed"] is None else asked["seed"]
    facts = {"env": env, "planner": kind, "settings": settings, "seed": seed if before is None else before["seed"]}
    rows = [] if before is None else folder.log(facts["seed"])
    least = _EPISODES if before is None else before["num_episodes"]
    count = least if asked["num_episodes"] is None else asked["num_episodes"]
    facts["num_episodes"], facts["import"] = max(count, len(rows)), asked["import_"]
    model = _model(env, settings.get("temperature"))
    make = planner_maker(kind, model, settings, critic)
    make(0)  # refuses what does not fit, before anything is written
    facts["command"] = command_of(facts)
    is_live = env not in CONTINUOUS_NAMES and not is_in_zoo(env)
    return _Run(Task(f"{kind} on {env}", environment_of(env, model, is_live), make), folder, facts, rows)


def _critic(path: Path, env: str) -> Any:
    """The learner of a training run, whose files are read without running code.

    Raises:
        InvalidArgument: if it was trained in another environment, or has no critic.
        InvalidCheckpoint: if a file of the run cannot be read.
    """
    from ..environments.registration import word_of
    from ..planners.terminal import HasStateValue
    from .run_folder import RunFolder
    from .training.learner import learner_in, made

    folder = RunFolder(path)
    facts = folder.facts()
    if facts["env"] not in (env, word_of(env)):
        raise InvalidArgument(
            f"`terminal` must be a training run in {env}, but {path} is one in {facts['env']}. Plan in that, or train "
            "another."
        )
    found = made(lambda: folder.policy(learner_in(folder.path / "run.json", facts["algorithm"])), env)
    if not isinstance(found, HasStateValue):
        raise InvalidArgument(
            f"`terminal` must be a run of a learner that has a critic, but {facts['algorithm']} has none. Train sac, "
            "original_sac or soft_q."
        )
    return found


def _model(env: str, temperature: str | None) -> Any:
    """The model to plan with, at its own temperature unless a number is given."""
    tau = None if temperature is None or temperature.startswith("ess:") else _temperature(temperature)
    if env == PENDULUM:
        from ..planners import pendulum_simulator

        return pendulum_simulator(temperature=1.0 if tau is None else tau)
    if env in CONTINUOUS_NAMES:
        from ..models import continuous_zoo

        return continuous_zoo()[env].model(None, tau)
    return named_model(env, None, tau)


def _again(run: _Run) -> str:
    return f"{run.facts['command']} --out {shlex.quote(str(run.folder.path))}"


def _results(run: _Run) -> str:
    """The returns and the numbers of the plans in words, and the files."""
    from .planning.picture import mean_and_error, returns_picture

    rows, folder = run.rows, run.folder
    mean, error = mean_and_error([float(row["return"] or 0.0) for row in rows])
    spread = f" ± {error:.2g}" if error < math.inf else ""
    of = f"mean and standard error of {len(rows)} episodes" if spread else "one episode"
    lines = [f"return {mean:.6g}{spread} ({of})"]
    sizes = [float(row["effective_sample_size"]) for row in rows if row["effective_sample_size"] is not None]
    if sizes:
        largest = max(float(row["largest_weight"] or 0.0) for row in rows)
        taus = [float(row["temperature"] or 0.0) for row in rows]
        lines.append(
            f"effective plans {math.fsum(sizes) / len(sizes):.4g} on average; largest weight of one {largest:.2g}; "
            f"temperature {math.fsum(taus) / len(taus):.4g}"
        )
        bad, steps = (sum(int(row[name] or 0) for row in rows) for name in ("degenerate", "steps"))
        if bad:
            lines.append(wrapped(f"In {bad} of {steps} decisions one draw carries more than half of the weight."))
    lines.append(f"\nLog:     {folder.path / 'log.csv'}")
    picture = folder.path / "returns.png"
    try:
        returns_picture(run.task.name, rows, picture)
        lines.append(f"Picture: {picture}\n")
    except MissingExtra as problem:
        lines.append(f"Picture: none. {problem}\n")
    return "\n".join(lines)


def _filmed(run: _Run, path: Path) -> str:
    """Write the first episode as an animation, and return a line about it."""
    from .film import film
    from .planning.episodes import seeds_of

    world, planner = seeds_of(run.facts["seed"], 0)
    steps = film(run.task.planner(planner), run.facts["env"], world, True, path, make=run.task.environment)
    return f"Film of the first episode, {steps} steps: {path}\n"


def _next(run: _Run) -> str:
    """What to try next, and the command."""
    from .planning.settings import command_of

    facts, path = run.facts, run.folder.path
    is_one_draw = facts["planner"] in ("mppi", "smc") and facts["settings"].get("num_noise_samples") == 1  # is free
    if facts["env"] == PENDULUM or facts["settings"].get("optimism") == 1.0 or is_one_draw:
        more = command_of({**facts, "num_episodes": 2 * facts["num_episodes"]})
        return f"see more episodes:\n  {more} --out {shlex.quote(str(path))}"
    settings = {name: value for name, value in facts["settings"].items() if name != "risk"} | {"optimism": 1.0}
    other = command_of({**facts, "settings": settings})
    path = path if path.name not in ("", "..") else path.resolve()
    free = path.parent / f"{path.name}-free"
    return f"the same with a free planner, which counts on luck:\n  {other} --out {shlex.quote(str(free))}"
