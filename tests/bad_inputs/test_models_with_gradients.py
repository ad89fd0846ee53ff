"""Problems and models whose tables require gradients: every public function works with them or refuses them by name."""

import contextlib
import re
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor

from pgm_control import PGMControlError, TabularMDP, TabularModel, infer
from pgm_control.guides import ClampedGuide, FreeGuide
from pgm_control.inference.exact.posterior import Posterior

from .calls import CALLS, folder
from .check import _quiet

NAMES = [pytest.param(name, marks=[pytest.mark.slow] if call.slow else []) for name, call in CALLS.items()]


def with_gradients(value: Any) -> Any:
    """The value with gradients in the tables of every problem and model in it, also those of guides and posteriors."""
    if isinstance(value, TabularMDP):
        tables = {each.name: getattr(value, each.name) for each in fields(value)}
        floating = {k: v for k, v in tables.items() if isinstance(v, Tensor) and v.is_floating_point()}
        return value.replace(**{name: each.clone().requires_grad_() for name, each in floating.items()})
    if isinstance(value, TabularModel):
        made = TabularModel(with_gradients(value.mdp), value.temperature)
        made.action_prior = value.action_prior.clone().requires_grad_()
        return made
    if isinstance(value, ClampedGuide | FreeGuide):
        return type(value)(with_gradients(value.model))
    if isinstance(value, Posterior):
        return infer(with_gradients(value.model), value.optimism)  # q and v then have a graph
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(with_gradients(each) for each in value)
    return value


@pytest.mark.parametrize("name", NAMES)
def test_a_public_function_works_or_refuses_by_name(name):
    call = CALLS[name]
    arguments = call.arguments()
    changed = {argument: with_gradients(value) for argument, value in arguments.items()}
    if all(changed[argument] is value for argument, value in arguments.items()):
        pytest.skip("takes no problem and no model")
    refusal, dtype = None, torch.get_default_dtype()
    try:
        with contextlib.chdir(folder()), _quiet():
            call.function(**changed)
    except PGMControlError as problem:
        refusal = str(problem)
    finally:
        torch.set_default_dtype(dtype)
    assert refusal is None or re.search("`.+` must", refusal)
