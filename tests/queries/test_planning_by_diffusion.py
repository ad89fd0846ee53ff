"""Planning by diffusion: the example, with guides by quadrature in place of learned ones, and its table."""

import math
import re

import pytest
import torch
from gallery_examples import example

EXACT = {"exact, free": (0.7659, 2.4281, -1.2164), "exact, clamped": (0.0077, 0.6991, 0.6991)}
ROWS = {  # P(a > 1), imagined, true: of one seed with networks that share no code, and the errors allowed
    "play": ((0.2525, 0.01), (-0.5475, 0.02), (-0.5475, 0.03)),
    "play, kept by exp(R/τ)": ((0.7659, 0.01), (2.428, 0.02), (-1.217, 0.04)),
    "plans, guided exactly": ((0.7602, 0.04), (1.6, 0.9), (-1.147, 0.12)),
    "plans, guided as published": ((0.0016, 0.01), (0.927, 0.05), (0.819, 0.06)),
    "actions, guided by Q": ((0.0071, 0.015), (math.nan, 0.0), (0.677, 0.06)),
}


@pytest.fixture(scope="module")
def shown():
    return example("42_planning_by_diffusion")


def read(text):
    """The first number of each of the three columns, by row."""
    found = {}
    for line in text.splitlines():
        row = re.fullmatch(r"(.+?)  +(\S+) ± \S+ +(\S+) ± \S+ +(\S+) ± \S+", line)
        if row:
            found[row[1]] = tuple(map(float, row.groups()[1:]))
    return found


def by_quadrature(shown, size, exact):
    """A guide: log E exp(worth/τ) or E worth/τ of noisy plays, by the trapezoidal rule over the last clean number."""
    place = torch.linspace(-8, 8, 801)
    lands = torch.softmax(-0.5 * ((place - place[:, None]) / 0.6) ** 2, 1)
    worth = (shown.reward(place) if size == 2 else lands @ shown.reward(place)) / 0.5
    first, both = 1.5**2, 1.5**2 + 0.6**2
    covariance = torch.tensor([[first, first], [first, both]])[:size, :size]

    def guide(seen):
        level = round(2 * 60 / math.pi * math.asin(min(float(seen[0, size].detach()), 1.0)))  # of the first wave
        left = shown.LEFT[level]
        gain = left.sqrt() * covariance @ torch.linalg.inv(left * covariance + (1 - left) * torch.eye(size))
        variance = (covariance - left.sqrt() * gain @ covariance)[-1, -1].clamp(min=1e-6)
        log_density = -0.5 * (place - (seen[:, :size] @ gain[-1])[:, None]) ** 2 / variance
        share = log_density.log_softmax(1)
        return torch.logsumexp(share + worth, 1) if exact else share.exp() @ worth

    return guide


@pytest.mark.parametrize(
    ("size", "exact", "wanted"),
    [(2, True, (0.7659, 2.35, -1.2164)), (2, False, (0.0032, 0.952, 0.803)), (1, True, (0.0077, None, 0.6991))],
    ids=["free", "first order", "clamped"],
)
def test_guides_without_errors_of_learning_lead_where_the_page_says(shown, size, exact, wanted):
    """Exact guidance to the posterior, its first order elsewhere; 60 steps of noise leave a bias of some hundredths."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)
    plans = shown.draw(size, by_quadrature(shown, size, exact), 1500)
    high, imagined, true = wanted
    share = float((plans[:, 0] > 1).double().mean())
    assert share == pytest.approx(high, abs=0.008 + 4 * math.sqrt(high * (1 - high) / 1500))
    if imagined is not None:
        assert float(shown.reward(plans[:, 1]).mean()) == pytest.approx(imagined, abs=0.12)
    spread = torch.randn(1500, 20)
    assert float(shown.reward(plans[:, :1] + 0.6 * spread).mean()) == pytest.approx(true, abs=0.12)


def test_the_quoted_table_is_that_of_exact_inference(shown):
    quoted = read(shown.__doc__)
    for name, numbers in EXACT.items():
        assert quoted[name] == pytest.approx(numbers, abs=6e-4)
    for name, row in ROWS.items():
        for found, (known, error) in zip(quoted[name], row, strict=True):
            assert found == pytest.approx(known, abs=error, nan_ok=True)


@pytest.mark.slow
def test_the_table_of_three_seeds(shown, tmp_path, capsys):
    torch.set_default_dtype(torch.float32)
    shown.main(shown.Args(picture=tmp_path / "picture.png"))
    found = read(capsys.readouterr().out)
    for name, row in {**ROWS, **{each: [(x, 6e-4) for x in numbers] for each, numbers in EXACT.items()}}.items():
        for number, (known, error) in zip(found[name], row, strict=True):
            assert number == pytest.approx(known, abs=error, nan_ok=True), name
