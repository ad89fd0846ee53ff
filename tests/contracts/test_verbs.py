"""Each function takes each kind of guide, or refuses it with a reason that names another function."""

import pyro
import pytest

from contracts.verbs import EXACT, ROWS, VERBS, answer
from pgm_control import TabularModel

WITHOUT_TABLES = {"mixture", "history_function", "OptionGuide", "FreeOptionGuide", "LatentPolicyGuide"}
WITHOUT_TABLES |= {"optimal, by hand", "AutoNormal", "AutoMultivariateNormal"}
REFUSED = {
    *((name, verb) for name in WITHOUT_TABLES for verb in EXACT),
    ("history_function", "conditional_smc"),
    *((name, verb) for name in ("AutoNormal", "AutoMultivariateNormal") for verb in ("smc", "conditional_smc")),
    ("LatentPolicyGuide", "conditional_smc"),
    ("posterior", "fit"),
}


def pairs():
    """All pairs; the exact functions are called with a model of the wrong type where it has no tables."""
    for row, (model, *_) in ROWS.items():
        for verb in VERBS:
            wrong = verb in EXACT and not isinstance(model, TabularModel)
            yield pytest.param(row, verb, marks=[pytest.mark.wrong_types] if wrong else [])


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize(("row", "verb"), list(pairs()))
def test_every_function_takes_every_guide_or_says_why_not(row, verb):
    said = answer(row, verb)
    pyro.clear_param_store()
    if (row, verb) not in REFUSED:
        assert said == "yes"
    else:
        assert said.startswith(("InvalidGuide: `guide` must", "InvalidArgument: `"))
        assert (row, verb) == ("posterior", "fit") or "estimate(" in said or "log_weights(" in said
