"""The communicating classes of a chain, and which states reach which. These are plain loops, which numba may compile.

Sources:
    [tarjan1972] R. Tarjan, Depth-first search and linear graph algorithms. SIAM Journal on Computing 1(2):146–160,
        1972. doi:10.1137/0201010
"""

import numpy as np

Array = np.ndarray


def strong_components(starts: Array, targets: Array) -> Array:
    """The communicating class of every state, numbered such that edges lead to the same or a lower number.

    Args:
        starts: the position in `targets` of the first edge of each state, and the end; (S + 1,).
        targets: the state that each edge leads to.

    References:
        [tarjan1972]
    """
    states = len(starts) - 1
    found = np.full(states, -1, dtype=np.int64)
    order, low = np.full(states, -1, dtype=np.int64), np.zeros(states, dtype=np.int64)
    edge = starts[:-1].copy()
    stack, path = np.empty(states, dtype=np.int64), np.empty(states, dtype=np.int64)
    waiting, depth, seen, classes = 0, 0, 0, 0
    for root in range(states):
        if order[root] >= 0:
            continue
        path[0], depth = root, 1
        order[root] = low[root] = seen
        stack[waiting] = root
        waiting, seen = waiting + 1, seen + 1
        while depth > 0:
            s = path[depth - 1]
            if edge[s] < starts[s + 1]:
                n = targets[edge[s]]
                edge[s] += 1
                if order[n] < 0:
                    order[n] = low[n] = seen
                    stack[waiting] = n
                    path[depth] = n
                    waiting, depth, seen = waiting + 1, depth + 1, seen + 1
                elif found[n] < 0:
                    low[s] = min(low[s], order[n])
            else:
                depth -= 1
                if depth > 0:
                    low[path[depth - 1]] = min(low[path[depth - 1]], low[s])
                if low[s] == order[s]:
                    last = -1
                    while last != s:
                        waiting -= 1
                        last = stack[waiting]
                        found[last] = classes
                    classes += 1
    return found


def best_reachable(starts: Array, targets: Array, classes: Array, own: Array) -> Array:
    """For each state, the largest `own` number of the classes that it can reach, including its own class."""
    best, by_class = own.copy(), np.argsort(classes)
    for s in by_class:
        for j in range(starts[s], starts[s + 1]):
            best[classes[s]] = max(best[classes[s]], best[classes[targets[j]]])
    return best[classes]
