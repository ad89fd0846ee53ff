"""Random models that depend on time, and the same models with the time in the state, made by hand."""

import torch

from pgm_control import LogisticOptimality, TableOptimality, TabularMDP, TabularModel

FEATURES = ("tables", "temperature", "prior", "observed", "logistic", "table", "discount", "counts", "all")
T, S, A, K = 4, 3, 2, 3


def rows(generator, *shape):
    """Random distributions over the last axis, with some zeros."""
    x = torch.rand(*shape, generator=generator, dtype=torch.float64)
    x[..., 1:] *= torch.rand(x[..., 1:].shape, generator=generator) < 0.8
    return x / x.sum(-1, keepdim=True)


def timed_model(feature, seed=0):
    """A random model in which one thing, or "all" that go together, depends on time."""
    generator = torch.Generator().manual_seed(seed)
    has = {feature} if feature != "all" else {"tables", "temperature", "prior", "observed", "logistic", "discount"}

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    time = (T,) if has & {"tables", "counts"} else ()
    reward = normal(*time, S, A, K)
    if "counts" in has:
        reward[1, 0, 0] = -torch.inf
    mdp = TabularMDP(
        rows(generator, S),
        rows(generator, *time, S, A, K),
        torch.randint(0, S, (S, A, K), generator=generator),
        reward,
        T,
        discount=0.8 if "discount" in has else 1.0,
        final_reward=normal(S),
    )
    optimality = {}
    if "logistic" in has:
        optimality = {"optimality": LogisticOptimality()}
    if "table" in has:
        optimality = {"optimality": TableOptimality(normal(T, S, A, K), normal(S))}
    return TabularModel(
        mdp,
        [0.5, 2.0, 1.0, 0.7, 1.3] if has & {"temperature", "discount"} else 0.8,
        rows(generator, T, S, A) if "prior" in has else "count" if "counts" in has else None,
        observed=[True, False, True, True, feature == "all"] if "observed" in has else None,
        **optimality,
    )


def log_factor(model, t):
    """The log-factor of step t by hand, from the definitions of the likelihoods."""
    tau = model.temperature if isinstance(model.temperature, float) else float(model.temperature[t])
    last, mdp = t == T, model.mdp
    reward = mdp.final_reward if last else mdp.reward[t] if mdp.reward.ndim == 4 else mdp.reward
    if model.observed is not None and not model.observed[t]:
        return torch.zeros_like(reward)
    if isinstance(model.optimality, LogisticOptimality):
        return -torch.log1p(torch.exp(-reward / tau))
    if isinstance(model.optimality, TableOptimality):
        return model.optimality.final if last else model.optimality.table[t]
    return reward / tau


def with_time_in_the_state(model):
    """The model over pairs t·S + s at temperature 1, whose rewards are log-factors: nothing depends on time."""
    mdp, states = model.mdp, (T + 1) * S
    p = torch.zeros(states, A, K, dtype=torch.float64)
    p[..., 0] = 1.0
    successor = torch.arange(states)[:, None, None].repeat(1, A, K)
    reward = torch.zeros(states, A, K, dtype=torch.float64)
    prior = torch.full((states, A), 1.0 / A, dtype=torch.float64)
    for t in range(T):
        here = slice(t * S, (t + 1) * S)
        p[here] = mdp.probability[t] if mdp.probability.ndim == 4 else mdp.probability
        successor[here] = mdp.successor + (t + 1) * S
        reward[here] = log_factor(model, t)
        prior[here] = model.action_prior[t] if model.action_prior.ndim == 3 else model.action_prior
    final = torch.zeros(states, dtype=torch.float64)
    final[T * S :] = log_factor(model, T)
    initial = torch.zeros(states, dtype=torch.float64)
    initial[:S] = mdp.initial
    counts = bool((prior.sum(-1) > 1.5).any())
    unrolled = TabularMDP(initial, p, successor, reward, T, mdp.discount, final)
    return TabularModel(unrolled, 1.0, "count" if counts else prior)


def of_time(table):
    """The entries at (t, t·S + s) of a table over (time, time in the state): those of the timed model."""
    return torch.stack([table[t, t * S : (t + 1) * S] for t in range(len(table))])


def trajectories(model):
    """Yield (probability of the start, actions and outcomes; log-factor; states, actions, outcomes), all of them.

    Without a discount.
    """
    mdp = model.mdp

    def extend(t, state, log_p, gained, path):
        if t == T:
            yield log_p, gained + float(log_factor(model, T)[state]), path
            return
        prior = model.action_prior[t] if model.action_prior.ndim == 3 else model.action_prior
        p = mdp.probability[t] if mdp.probability.ndim == 4 else mdp.probability
        for a in range(A):
            for k in range(K):
                chance = float(prior[state, a] * p[state, a, k])
                if chance > 0:
                    target, more = int(mdp.successor[state, a, k]), float(log_factor(model, t)[state, a, k])
                    yield from extend(t + 1, target, log_p * chance, gained + more, [*path, a, k, target])

    for s in range(S):
        yield from extend(0, s, float(mdp.initial[s]), 0.0, [s])
