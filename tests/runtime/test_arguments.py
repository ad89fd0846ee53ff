"""Checks of arguments: values that are accepted or refused, and messages that name argument, requirement and value."""

import math

import numpy as np
import pytest
import torch

from pgm_control import InvalidArgument
from pgm_control.runtime.arguments import (
    called,
    finite,
    flag,
    fraction,
    named,
    one_of,
    positive,
    probability,
    whole,
    whole_or_none,
)

NO_NUMBERS = (None, True, "1", [1], 1j, math.nan, np.array([1, 2]), torch.tensor([1.0]), torch.tensor(True))


@pytest.mark.parametrize("value", [1, 7, np.int64(7), np.uint8(1), np.array(7), torch.tensor(7), 2**63 - 1])
def test_whole_numbers_are_returned_as_python_ints(value):
    assert type(whole("n", value)) is int
    assert whole("n", value) == whole_or_none("n", value) == value


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, -1, 1.0, np.float64(1.0), math.inf])
def test_other_values_than_whole_numbers_are_refused(value):
    with pytest.raises(InvalidArgument, match=r"^`n` must be a whole number, at least 1, but is .*\. Count again\.$"):
        whole("n", value, remedy="Count again.")
    if value is not None:
        with pytest.raises(InvalidArgument, match=r"^`n` must be a whole number, at least 1, or None, but is .*\.$"):
            whole_or_none("n", value)


def test_whole_numbers_too_large_for_a_tensor_are_refused():
    with pytest.raises(InvalidArgument, match=r"^`n` must be a whole number, at least 1 and below 2\*\*63, but is "):
        whole("n", 2**63)


def test_whole_or_none_accepts_none():
    assert whole_or_none("n", None) is None


@pytest.mark.parametrize(
    ("check", "right", "wrong", "wanted"),
    [
        (
            positive,
            (1e-300, 1, np.float32(0.5), np.int64(3), np.array(0.5), torch.tensor(2.0)),
            (0, -1.0, math.inf),
            "a positive number",
        ),
        (finite, (0, -1e300, np.float32(0.5)), (math.inf, -math.inf), "a finite number"),
        (fraction, (1e-300, 1, np.float64(0.5)), (0, 1.1, -1, math.inf), "a number above 0 and at most 1"),
        (probability, (0, 1, np.float64(0.5)), (1.1, -1e-9, math.inf), "a probability"),
    ],
)
def test_numbers_are_checked(check, right, wrong, wanted):
    for value in right:
        assert type(check("x", value)) is float
        assert check("x", value) == value
    for value in (*NO_NUMBERS, *wrong):
        with pytest.raises(InvalidArgument, match=f"^`x` must be {wanted}, but is "):
            check("x", value)


@pytest.mark.parametrize("value", ["c", None, 1, ["a"], "A"])
def test_choices_are_checked(value):
    one_of("kind", "a", ("a", "b"))
    with pytest.raises(InvalidArgument, match=r"^`kind` must be one of a, b, but is .*\. Take a\.$"):
        one_of("kind", value, ("a", "b"), remedy="Take a.")


@pytest.mark.parametrize(
    "value",
    [
        np.bool_(True),
        np.array(1j),
        torch.tensor(1j),
        torch.tensor(1.0).to_sparse(),
        torch.tensor(1.0, device="meta"),
        np.array("1"),
        float,
        10**400,
    ],
)
def test_what_holds_no_finite_number_is_refused_by_name(value):
    with pytest.raises(InvalidArgument, match=r"^`x` must be a finite number, but is "):
        finite("x", value)


def test_messages_stay_short():
    for value in (list(range(10_000)), "a" * 10_000, torch.zeros(1000, 1000), 10**400):
        with pytest.raises(InvalidArgument) as caught:
            finite("x", value)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [1, 0, None, "yes", [], np.array([True])])
def test_flags_are_true_or_false(value):
    assert flag("x", np.bool_(True)) is True
    with pytest.raises(InvalidArgument, match=r"^`x` must be True or False, but is "):
        flag("x", value)


def test_names_have_an_encoding():
    assert called("x", "Bellman’s §1 – 迷路") == "Bellman’s §1 – 迷路"
    for value in ("\ud800", b"name", 3, None):
        with pytest.raises(InvalidArgument, match=r"^`x` must be a string of valid Unicode, but is "):
            called("x", value)


def test_mappings_of_guides_are_checked():
    assert named("x", {"a": 1}) == {"a": 1}
    for value in ([1], None, {}, {3: 1}, {"\ud800": 1}):
        with pytest.raises(InvalidArgument, match=r"`x"):
            named("x", value)
