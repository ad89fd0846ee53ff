"""Tests of the examples: output and picture are those shown, and the miniature agrees with the library."""

import ast
import importlib.util
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from problems import FULL, random_mdp
from smoke_outputs import PRINTED

from pgm_control import TabularModel, evaluate, infer
from pgm_control.inference.variational.elbo import elbo

FOLDER = Path(__file__).parent.parent / "examples"
EXAMPLES = sorted(set(FOLDER.glob("*.py")) - {FOLDER / "notebook.py"})  # the notebook has its own test
GALLERY = [path for path in EXAMPLES if path.name[0].isdigit()]
LONG = (  # these run long, and print times, or results of learning and of long chains
    "13_at_scale", "15_against_a_simulator", "24_how_optimistic_are_they", "39_sac_in_both_forms",
    "42_planning_by_diffusion",
)  # fmt: skip
FITTED = (
    "03_cliff",
    "06_the_dial",
    "11_your_own_guide",
    "19_thin_ice",
    "23_options",
    "25_divergences",
    "26_amortised",
    "27_a_program_by_hand",
    "29_the_ledge",
    "37_collapse",
    "38_exploration",
    "41_plans_on_the_ledge",
)  # SVI, NUTS and samples depend on the processor
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EXAMPLES, reason="the examples are not shipped with the package"),
]
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?|-?\.\d+")


def run(preloaded, path, folder, *options):
    """The output of an example, run in a process that turns warnings into errors."""
    command = [preloaded / "python", path, *options]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def quoted(path):
    """The output that the docstring of an example quotes."""
    words = ast.get_docstring(ast.parse(path.read_text(encoding="utf8")), clean=False) or ""
    return re.split(r"Printed[^\n]*:\n\n", words)[1]


def picture(path):
    from matplotlib.image import imread

    return imread(path)[..., :3].mean(-1)


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path.stem not in LONG], ids=lambda path: path.name)
def test_an_example_prints_its_quoted_output_and_draws_its_picture(path, preloaded, tmp_path):
    """The longest run in their smoke form, against what that printed; whole, if `PGM_CONTROL_TESTS` is "full".

    The quoted digits of the longest are compared in the full form only.
    """
    smoke = path.stem in PRINTED and not FULL
    options, text = (["--smoke"], PRINTED[path.stem]) if smoke else ([], quoted(path))
    said, expected = (" ".join(each.split()) for each in (run(preloaded, path, tmp_path, *options), text))
    assert NUMBER.sub("#", said) == NUMBER.sub("#", expected)
    relative = 3e-2 if path.stem in FITTED else 1e-6
    for found, number in zip(NUMBER.findall(said), NUMBER.findall(expected), strict=True):
        unit = 10.0 ** -len(number.partition(".")[2])
        value = float(number.replace(",", ""))
        assert float(found.replace(",", "")) == pytest.approx(value, rel=relative, abs=1.01 * unit), (found, number)
    if smoke:
        assert (tmp_path / f"{path.stem}.png").stat().st_size > 0
    elif path in GALLERY:
        drawn, shown = picture(tmp_path / f"{path.stem}.png"), picture(FOLDER / "gallery" / f"{path.stem}.png")
        assert np.array(drawn.shape) == pytest.approx(np.array(shown.shape), rel=0.02)
        if drawn.shape == shown.shape:
            assert np.abs(drawn - shown).mean() < 0.02, "the committed picture differs: run the example again"


def test_the_gallery_is_complete_and_in_order():
    numbers = [int(path.name[:2]) for path in GALLERY]
    assert numbers == list(range(1, len(numbers) + 1))
    assert sorted(path.stem for path in (FOLDER / "gallery").glob("*")) == [path.stem for path in GALLERY]
    gallery = (FOLDER / "README.md").read_text(encoding="utf8")
    for pattern in (r'src="gallery/(\d\d_\w+)\.png"', r'<b><a href="(\d\d_\w+)\.py"'):
        assert re.findall(pattern, gallery) == [path.stem for path in GALLERY]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short_and_uses_public_names(path):
    text = path.read_text(encoding="utf8")
    assert len(text.splitlines()) <= 140
    assert not re.search(r"pgm_control\._|import _", text)
    if path in GALLERY:
        shown = FOLDER / "gallery" / f"{path.stem}.png"
        assert shown.stat().st_size < 130_000, "a page with all pictures should load quickly"
        height, width = picture(shown).shape
        assert 700 <= width <= 1200
        assert height <= 1.2 * width


@pytest.fixture
def mini():
    spec = importlib.util.spec_from_file_location("mini", FOLDER / "mini.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("optimism", [1.0, 0.0])
def test_the_miniature_agrees_with_the_library(mini, seed, optimism):
    mdp = random_mdp(seed=seed, horizon=4)
    model = TabularModel(mdp, 0.7)
    problem = mini.Problem(mdp.initial, mdp.probability, mdp.successor, mdp.reward, mdp.horizon, 0.7)
    objective, initial, policy, dynamics = mini.messages(problem, free=optimism == 1.0)
    posterior = infer(model, optimism)
    assert float(objective) == pytest.approx(posterior.objective, abs=1e-6)
    torch.testing.assert_close(policy, posterior.policy, atol=1e-6, rtol=0)
    torch.testing.assert_close(dynamics, posterior.dynamics, atol=1e-6, rtol=0)
    torch.testing.assert_close(initial, posterior.initial, atol=1e-6, rtol=0)
    bound = mini.elbo(problem, initial, policy, dynamics)
    assert float(bound) == pytest.approx(elbo(model, posterior.blocks()).item(), abs=1e-6)
    found = evaluate(model, posterior)
    imagined = mini.expected_return(problem, initial, policy, dynamics)
    assert float(imagined) == pytest.approx(found.imagined_return, abs=1e-6)
    true = mini.expected_return(problem, mdp.initial, policy, mdp.probability.expand_as(dynamics))
    assert float(true) == pytest.approx(found.true_return, abs=1e-6)


def test_the_miniature_imports_only_torch(mini):
    text = (FOLDER / "mini.py").read_text(encoding="utf8")
    imported = {line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imported == {"argparse", "dataclasses", "torch"}


def test_the_fit_of_the_miniature_reaches_its_exact_objective(mini):
    problem = mini.river(3)
    for free in (True, False):
        objective, *_ = mini.messages(problem, free)
        assert float(mini.elbo(problem, *mini.fit(problem, free, 500))) == pytest.approx(float(objective), abs=1e-3)
