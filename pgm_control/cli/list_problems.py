"""The command `zoo`: the named problems."""

from ..text.terminal import wrapped


def zoo() -> None:
    """List the named problems, with their sizes, and the temperatures at which the commands show them."""
    from ..problems.named import CONTINUOUS, PROBLEMS
    from .named_problem import TABLE_IDS, in_words

    width = max(len(each.name) for each in PROBLEMS)
    for each in PROBLEMS:
        size = in_words(each.num_states, each.num_actions, each.settings.horizon)
        print(f"{each.name:<{width}}  {size}, τ = {each.settings.temperature:g}")
        print(wrapped(each.summary, indent=width + 2))
    print("\nContinuous problems, for `pgm-control compare`, `report` and `plan`:")
    for each in CONTINUOUS:
        print(f"{each.name:<{width}}  {each.state}, T = {each.settings.horizon}, τ = {each.settings.temperature:g}")
        also = "" if each.is_exact else " Not solved exactly: for `plan`, and in Python for fits of guides."
        print(wrapped(each.summary + also, indent=width + 2))
    print()
    print(wrapped(f"Gymnasium environments with a transition table work as well: {', '.join(TABLE_IDS)}."))
    print("\nNext:\n  pgm-control compare restaurant")
