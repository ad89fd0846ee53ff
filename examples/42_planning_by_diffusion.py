"""Planning by diffusion: whether a guided diffusion model is optimistic depends on its guide.

One decision: the action a is where one aims; gusts carry the landing s' away from it. A meadow pays 1, an islet 3, and
the cold water around it takes 5. Plans are drawn from a diffusion model of aimless play, guided towards returns.
Guided by log E[exp(R/τ) | noisy plan] it draws from the exact posterior, up to errors of learning: it aims at the islet
and plans the gust with it. Keeping plays by exp(R/τ), by a high R, or the best of 16 is optimistic too. A model of
actions alone, guided by a learned Q(a) = E[R | a], is clamped. The guide published with Diffuser (Janner et
al. 2022, arXiv:2205.09991), E[R | noisy plan]/τ, is not the posterior: while a plan is mostly noise it climbs the mean,
which the water spoils, and takes the meadow; later it arranges gusts there. P(a > 1), the return of the plan as
imagined, and the true one of its action, in new gusts; means of three seeds ± half their range. Printed:

play                         0.252 ± 0.001  -0.546 ± 0.005  -0.550 ± 0.006
play, kept by exp(R/τ)       0.767 ± 0.002   2.429 ± 0.001  -1.212 ± 0.013
play of R ≥ 2                0.895 ± 0.000   2.651 ± 0.002  -1.547 ± 0.039
best of 16 plays             0.625 ± 0.001   2.085 ± 0.001  -0.782 ± 0.018
plans, guided exactly        0.763 ± 0.015   1.694 ± 0.737  -1.164 ± 0.035
plans, guided as published   0.002 ± 0.001   0.943 ± 0.016   0.799 ± 0.027
actions, guided by Q         0.014 ± 0.003     nan ± nan   0.660 ± 0.036
exact, free                  0.766 ± 0.000   2.428 ± 0.000  -1.216 ± 0.000
exact, clamped               0.008 ± 0.000   0.699 ± 0.000   0.699 ± 0.000
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure
from torch import Tensor, nn

AIM, GUST, TAU, STEPS = 1.5, 0.6, 0.5, 60
LEFT = torch.cos((torch.arange(STEPS + 1) / STEPS + 0.008) / 1.008 * math.pi / 2) ** 2  # the share of the plan in x_k
KEPT = (LEFT[1:] / LEFT[:-1]).clamp(min=0.001)  # of it from one level of noise to the next
LEFT = torch.cat([torch.ones(1), KEPT.cumprod(0)])


@dataclass
class Args:
    """Options of the example."""

    picture: Path = Path("42_planning_by_diffusion.png")
    """output file of the picture"""
    smoke: bool = False
    """one seed and few steps of learning, to see that it runs"""


def reward(s: Tensor) -> Tensor:
    """R(s'): a meadow, an islet, and cold water."""
    meadow, water = ((-1 - s) / 0.1).sigmoid(), ((s - 0.8) / 0.1).sigmoid()
    return meadow + 8 * ((s - 1.6) / 0.08).sigmoid() * ((2.4 - s) / 0.08).sigmoid() - 5 * water


def play(number: int) -> Tensor:
    a = AIM * torch.randn(number, 1)
    return torch.cat([a, a + GUST * torch.randn(number, 1)], 1)


def seen(x: Tensor, level: Tensor) -> Tensor:
    """Noisy plans as networks see them, with waves of the level of noise."""
    angle = (math.pi * level / STEPS * torch.tensor([0.5, 1.0, 2.0, 4.0])).expand(len(x), 4)
    return torch.cat([x, angle.sin(), angle.cos()], 1)


def learned(inputs: int, loss: Callable[[nn.Module], Tensor], updates: int) -> nn.Module:
    net = nn.Sequential(nn.Linear(inputs, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, 1))
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(updates):
        optimiser.zero_grad()
        loss(net).backward()
        optimiser.step()
    return net.requires_grad_(False)


def guide(size: int, worth: Callable[[Tensor], Tensor], exact: bool, updates: int) -> nn.Module:
    def loss(net: nn.Module) -> Tensor:
        plays, level = play(512), torch.randint(1, STEPS + 1, (512, 1))
        noisy = LEFT[level].sqrt() * plays[:, :size] + (1 - LEFT[level]).sqrt() * torch.randn(512, size)
        above = worth(plays) / TAU - net(seen(noisy, level))
        return (above.exp() - above - 1 if exact else above**2).mean()  # finds log E exp(R/τ), or E[R/τ]

    return learned(size + 8, loss, updates)


def draw(size: int, guide: Callable[[Tensor], Tensor], number: int = 20_000) -> Tensor:
    """Plans from a diffusion model of play, which is linear, as play is Gaussian; its means follow the guide."""
    plays, x = play(100_000)[:, :size], torch.randn(number, size)
    for k in range(STEPS, 0, -1):
        left, before, kept = LEFT[k], LEFT[k - 1], KEPT[k - 1]
        noisy = left.sqrt() * plays + (1 - left).sqrt() * torch.randn_like(plays)
        clean = x @ torch.linalg.lstsq(noisy, plays).solution  # E[plan | x], by least squares
        mean = ((before.sqrt() * (1 - kept) * clean + kept.sqrt() * (1 - before) * x) / (1 - left)).requires_grad_()
        variance = (1 - before) / (1 - left) * (1 - kept)
        uphill = torch.autograd.grad(guide(seen(mean, torch.tensor([k - 1]))).sum(), mean)[0]
        x = mean.detach() + variance * uphill + variance.sqrt() * torch.randn(number, size)
    return x


def main(args: Args) -> None:
    rows, drawn, updates = dict[str, list[list[float]]](), dict[str, Tensor](), 50 if args.smoke else 2000
    for seed in range(1 if args.smoke else 3):
        torch.manual_seed(seed)
        plays = play(320_000)
        r = reward(plays[:, 1])
        best = plays[torch.arange(0, len(r), 16) + r.reshape(-1, 16).argmax(1)]
        first, exact = (guide(2, lambda plays: reward(plays[:, 1:]), each, updates) for each in (False, True))
        q = learned(1, lambda net: ((net((p := play(512))[:, :1]) - reward(p[:, 1:])) ** 2).mean(), updates)
        drawn = {"plans, guided exactly": draw(2, exact), "plans, guided as published": draw(2, first)}
        clamped = draw(1, guide(1, lambda plays, q=q: q(plays[:, :1]), True, updates))
        kept = plays[torch.multinomial((r / TAU).exp(), 100_000, replacement=True)]
        sets = {"play": plays, "play, kept by exp(R/τ)": kept, "play of R ≥ 2": plays[r >= 2], "best of 16 plays": best}
        for name, plans in {**sets, **drawn, "actions, guided by Q": clamped}.items():
            imagined = reward(plans[:, -1]) if plans.shape[1] > 1 else torch.tensor(math.nan)
            true = reward(plans[:, 0] + GUST * torch.randn(len(plans)))
            rows.setdefault(name, []).append([float(x.mean()) for x in (1.0 * (plans[:, 0] > 1), imagined, true)])
    a = s = (torch.arange(1600, dtype=torch.float64) + 0.5) / 100 - 8  # quadrature
    lands, played = (-0.5 * ((s - a[:, None]) / GUST) ** 2).softmax(1), (-0.5 * (a / AIM) ** 2).softmax(0)
    mean = lands @ reward(s)
    for name, worth in (("exact, free", reward(s)), ("exact, clamped", mean[:, None])):
        p = (played[:, None] * lands).log().add(worth / TAU).flatten().softmax(0).reshape(lands.shape)
        rows[name] = [[float(p[a > 1].sum()), float(p.sum(0) @ reward(s)), float(p.sum(1) @ mean)]]
    tables = {name: torch.tensor(each) for name, each in rows.items()}
    for name, each in tables.items():
        columns = zip(each.mean(0), (each.amax(0) - each.amin(0)) / 2, strict=True)
        print(f"{name:<26}", *(f"{mean:7.3f} ± {spread:.3f}" for mean, spread in columns))
    left, right = (figure := Figure(figsize=(9, 3.6), layout="constrained")).subplots(1, 2)
    for (name, plans), color in zip(drawn.items(), ("tab:red", "tab:blue"), strict=True):
        left.plot(*plans[:800].T, ".", color=color, markersize=2, label=name)
    left.fill_between([-4, 4], 1.6, 2.4, color="tab:green", alpha=0.15, label="the islet")
    left.set(xlabel="action a", ylabel="landing s', as planned", xlim=(-4, 4), ylim=(-4, 4))
    left.legend(frameon=False, markerscale=5, loc="upper left")
    for i, style in ((1, "wo"), (2, "ko")):
        right.plot([float(each[:, i].mean()) for each in tables.values()], list(tables), style, markeredgecolor="k")
    right.set(xlabel="return: ○ imagined, ● true", xlim=(-3, 3), ylim=(len(tables), -1))
    figure.savefig(args.picture, dpi=100)


if __name__ == "__main__":
    main(tyro.cli(Args))
