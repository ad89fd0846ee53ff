"""References whose steps or batch do not fit are refused by their own names."""

import numpy as np
import pytest

from pgm_control import InvalidProblem, LinearQuadratic


def tracker(maker, reference, action_reference):
    more = {"dt": 0.1} if maker == "from_continuous" else {}
    return getattr(LinearQuadratic, maker)(
        0.9, 0.5, 1.0, 0.2, 0.3, horizon=5, initial_mean=1.0, reference=reference,
        action_reference=action_reference, **more,
    )  # fmt: skip


@pytest.mark.parametrize("maker", ["from_cost", "from_continuous"])
def test_the_message_names_the_action_reference(maker):
    assert tracker(maker, np.ones((6, 1)), np.ones((5, 1))).horizon == 5
    for steps in (4, 6):
        for reference in (None, np.ones((6, 1)), [1.0]):
            with pytest.raises(InvalidProblem, match="`action_reference` must have one entry, or 5"):
                tracker(maker, reference, np.ones((steps, 1)))
    with pytest.raises(InvalidProblem, match="`action_reference` must have batch axes"):
        tracker(maker, np.ones((3, 6, 1)), np.ones((4, 5, 1)))
