"""Products in bfloat16 are used only where the processor has instructions for them."""

import pytest
import torch

from pgm_control import InvalidArgument
from pgm_control.learners import SAC
from pgm_control.networks import precision
from pgm_control.networks.precision import bfloat16_is_slow, usable

CPU = torch.device("cpu")
TINY = {"hidden": (40, 40), "batch_size": 8, "learning_starts": 10, "capacity": 100, "seed": 0}


@pytest.fixture
def timed(monkeypatch):
    """The measured products, in the order of the calls; one in bfloat16 takes `timed.times` as long as in float32."""

    class Timed(list):
        times = 57.0

        def __call__(self, factor):
            self.append(factor.dtype)
            return self.times if factor.dtype == torch.bfloat16 else 1.0

    found = Timed()
    monkeypatch.setattr(precision, "_time_of_product", found)
    precision.time_of_bfloat16.cache_clear()
    yield found
    precision.time_of_bfloat16.cache_clear()


@pytest.mark.parametrize(("times", "is_slow"), [(0.2, False), (1.9, False), (2.1, True), (57.0, True)])
def test_bfloat16_is_slow_from_twice_the_time_on(timed, times, is_slow):
    timed.times = times
    assert bfloat16_is_slow("cpu") is is_slow


def test_the_time_is_measured_once_and_only_for_bfloat16(timed):
    timed.times = 0.2
    assert usable("float32", CPU) == "float32"
    assert not timed
    assert usable("bfloat16", CPU) == "bfloat16"
    number = len(timed)
    assert usable("bfloat16", CPU) == "bfloat16"
    assert len(timed) == number > 0


def test_slow_products_are_replaced_with_a_warning(timed):
    with pytest.warns(UserWarning, match=r"57 times as long as in float32.*Products are in \"float32\""):
        assert usable("bfloat16", CPU) == "float32"


@pytest.mark.wrong_types
def test_an_unknown_precision_is_refused(timed):
    with pytest.raises(InvalidArgument, match="`products` must be one of float32, bfloat16"):
        usable("float16", CPU)  # pyright: ignore[reportArgumentType]


def test_a_learner_on_a_slow_processor_learns_in_float32_and_stays_a_learner_in_bfloat16(timed, tmp_path):
    """The file of a learner keeps the argument, which may be of use on another machine."""
    with pytest.warns(UserWarning, match="is not used"):
        learner = SAC("Pendulum-v1", products="bfloat16", **TINY)
    exact = SAC("Pendulum-v1", **TINY)
    for each in (learner, exact):
        each.learn(20)
    assert torch.equal(learner.critics.flat, exact.critics.flat)
    learner.save(tmp_path / "one.pt")
    timed.times = 0.2
    precision.time_of_bfloat16.cache_clear()
    short = SAC.load(tmp_path / "one.pt")
    for each in (short, exact):
        each.learn(30)
    assert short.config["products"] == "bfloat16"
    assert not torch.equal(short.critics.flat, exact.critics.flat)


def test_a_real_measurement_gives_a_positive_ratio():
    precision.time_of_bfloat16.cache_clear()
    assert precision.time_of_bfloat16("cpu") > 0
