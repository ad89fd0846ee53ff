"""Problems by name, from the zoo or from Gymnasium."""

import difflib

import gymnasium

from ..errors import InvalidArgument
from ..problems.mdp import TabularMDP

TABLE_IDS = ("FrozenLake-v1", "FrozenLake8x8-v1", "CliffWalking-v1", "CliffWalkingSlippery-v1", "Taxi-v4")
"""The ids of the Gymnasium environments that have a transition table."""


def named_problem(name: str, horizon: int | None) -> TabularMDP:
    """Return the problem with this name, from the zoo or from Gymnasium.

    Raises:
        InvalidArgument: if neither has the name, with the nearest names.
    """
    from ..models import zoo as entries

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


def sizes(mdp: TabularMDP) -> str:
    """Return the sizes of a problem in words."""
    return f"{mdp.num_states} states, {mdp.num_actions} actions, T = {mdp.horizon}"


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))
