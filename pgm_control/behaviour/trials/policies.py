"""Policies of all people in all cells of a decision graph, differentiable any number of times."""

import torch
from jaxtyping import Float
from torch import Tensor

from .layers import Layers

_NEAR = 0.01  # |θ| times the range of x below which the series is more precise than the logarithm


def log_policies(
    layers: Layers,
    optimism: Float[Tensor, "*#batch person"],
    temperature: Float[Tensor, "*#batch person"],
    weights: Float[Tensor, "*#batch person weight"] | None = None,
    hard: bool = False,
) -> list[Float[Tensor, "*#batch _ action"]]:
    r"""Return log π(a|s) of each cell, by the steps to go.

    $$Q = L_\beta[r + w \cdot \phi + \gamma V(s')], \qquad \log \pi = \log \rho + (Q - V)/\tau, \qquad
    V = \tau \log \sum_a \rho\, e^{Q/\tau}$$

    Args:
        layers: the decision graph.
        optimism: β of each person.
        temperature: τ of each person, in reward units per nat.
        weights: w, the reward weights of each person.
        hard: whether V is the largest Q of the allowed actions instead, as for the Boltzmann demonstrator.
    """
    theta, v, found = optimism / temperature, layers.last, []
    for layer in layers.layers:
        x = layer.reward + layer.discount[:, None, None] * v[..., layer.successor]
        if weights is not None:
            x = x + (layer.features * weights[..., layer.person, None, None, :]).sum(-1)
        q = certain(x, layer.log_probability, theta[..., layer.person, None])
        tau = temperature[..., layer.person]
        scores = layer.log_prior + q / tau[..., None]
        log_sum = scores.logsumexp(-1)
        found.append(scores - log_sum[..., None])
        v = torch.where(layer.log_prior > -torch.inf, q, -torch.inf).amax(-1) if hard else tau * log_sum
    return found


def certain(
    x: Float[Tensor, "*#batch outcome"], log_p: Float[Tensor, "*#batch outcome"], theta: Float[Tensor, "*#batch"]
) -> Float[Tensor, "*batch"]:
    r"""Return the certainty equivalent $\frac1\theta \log \sum_k p_k e^{\theta x_k}$, with θ = β/τ, in reward units.

    It is `certainty_equivalent` for finite x, with all derivatives by θ at 0 too. There it is the series of the
    cumulants κ of x: $\kappa_1 + \theta \kappa_2 / 2 + \theta^2 \kappa_3 / 6 + \dots$
    """
    p = log_p.exp()
    mean = (p * x).sum(-1)
    y = torch.where(p > 0, x - mean[..., None], 0.0)
    near = theta.abs() * y.detach().abs().amax(-1) < _NEAR
    scale = torch.where(near, 1.0, theta)
    far = (log_p + scale[..., None] * y).logsumexp(-1) / scale
    small = torch.where(near, theta, 0.0)
    square = p * y * y
    second, third, fourth, fifth = ((square * y**n).sum(-1) for n in range(4))
    fourth, fifth = fourth - 3 * second**2, fifth - 10 * second * third
    series = small * (second / 2 + small * (third / 6 + small * (fourth / 24 + small * fifth / 120)))
    return mean + torch.where(near, series, far)
