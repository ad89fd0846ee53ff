"""Each function takes each kind of guide, or refuses it with a reason that names another function."""

import pyro
import pytest

from contracts.verbs import EXACT, ROWS, VERBS, answer

WITHOUT_TABLES = {"mixture", "history_function", "OptionGuide", "FreeOptionGuide", "LatentPolicyGuide"}
WITHOUT_TABLES |= {"optimal, by hand", "AutoNormal", "AutoMultivariateNormal"}
REFUSED = {
    *((name, verb) for name in WITHOUT_TABLES for verb in EXACT),
    ("history_function", "conditional_smc"),
    *((name, verb) for name in ("AutoNormal", "AutoMultivariateNormal") for verb in ("smc", "conditional_smc")),
    ("LatentPolicyGuide", "conditional_smc"),
    ("posterior", "fit"),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("row", ROWS)
def test_every_function_takes_every_guide_or_says_why_not(row, verb):
    said = answer(row, verb)
    pyro.clear_param_store()
    if (row, verb) not in REFUSED:
        assert said == "yes"
    else:
        assert said.startswith(("InvalidGuide: `guide` must", "InvalidArgument: `"))
        assert (row, verb) == ("posterior", "fit") or "estimate(" in said or "log_weights(" in said
