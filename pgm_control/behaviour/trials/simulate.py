"""Simulated people: choices of a population with known parameters."""

from collections.abc import Mapping
from typing import Any

import torch

from ...errors import InvalidArgument
from ...runtime.arguments import whole
from ...runtime.randomness import generator_of
from ...trajectories.blocks import MarkovModel
from .choices import Choices
from .layers import layers_of, require_features
from .located import Located, require_models
from .person_parameters import parameters_of
from .policies import log_policies


def simulate_people(
    models: Mapping[str, MarkovModel],
    optimism: Any,
    temperature: Any,
    lapse: Any = 0.0,
    *,
    num_people: int,
    num_repeats: int = 1,
    seed: int | torch.Generator | None = None,
    features: Mapping[str, Mapping[str, Any]] | None = None,
    weights: Any = None,
    hard: bool = False,
) -> Choices:
    """Return the choices of simulated people, each of whom plays every problem, in the true dynamics.

    An episode that the discount ends has fewer rows.

    Args:
        models: the problems by name, in the order of the trials.
        optimism, temperature, lapse, features, weights, hard: as for `behaviour_log_likelihood`, without the axes of a
            batch.
        num_people: the number of people, whose names are "1", "2", …
        num_repeats: how often each plays each problem.
        seed: an integer, a generator, or None for torch's global generator.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
    """
    found = require_models(models)
    num_people, num_repeats = whole("num_people", num_people), whole("num_repeats", num_repeats)
    generator, given = generator_of(seed), require_features(features, found)
    people = parameters_of(num_people, len(given), optimism, temperature, lapse, weights, hard)
    if people.optimism.ndim > 1 or (people.weights is not None and people.weights.ndim > 2):
        raise InvalidArgument("`optimism`, `temperature` and `weights` must have no axes of a batch in a simulation.")
    starts = [(i, s) for i, m in enumerate(found.values()) for s in m.mdp.initial.nonzero()[:, 0].tolist()]
    person = torch.arange(num_people).repeat_interleave(len(starts))
    problem, state = torch.tensor(starts).T.repeat(1, num_people)
    zero, layout = torch.zeros_like(person), tuple(found)
    names = tuple(str(i + 1) for i in range(num_people))
    layers = layers_of(found, given, Located(names, layout, person, problem, zero, state, zero))
    policies = log_policies(layers, people.optimism, people.temperature, people.weights, people.hard)
    policies = [each.exp() for each in policies]
    if people.log_lapse is not None:
        lapses = people.log_lapse[0].exp().expand(num_people)
        for n, layer in enumerate(layers.layers):
            chance = lapses[layer.person, None]
            policies[n] = (1 - chance) * policies[n] + chance * layer.log_prior.softmax(-1)
    steps = []
    for i, model in enumerate(found.values()):
        mdp = model.mdp
        who, repeat = (
            each.flatten() for each in torch.meshgrid(*map(torch.arange, (num_people, num_repeats)), indexing="ij")
        )
        s = torch.multinomial(mdp.initial, len(who), True, generator=generator)
        for t in range(mdp.horizon):
            to_go, cell = layers.place(who, torch.full_like(who, i), torch.full_like(who, t), s)
            a = torch.multinomial(policies[int(to_go[0]) - 1][cell], 1, generator=generator)[:, 0]
            steps += zip(
                who.tolist(), repeat.tolist(), [i] * len(who), [t] * len(who), s.tolist(), a.tolist(), strict=True
            )
            k = torch.multinomial(mdp.probability[s, a], 1, generator=generator)[:, 0]
            lives = torch.rand(len(who), generator=generator) < mdp.discount
            who, repeat, s = who[lives], repeat[lives], mdp.successor[s, a, k].long()[lives]
            if not len(who):
                break
    rows = []
    for i, r, p, _, s, a in sorted(steps):
        mdp = found[layout[p]].mdp
        rows.append((names[i], str(r * len(found) + p + 1), layout[p], mdp.state_name(s), mdp.action_name(a)))
    return Choices(*map(tuple, zip(*rows, strict=True)))
