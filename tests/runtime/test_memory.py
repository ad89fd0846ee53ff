"""Tables that do not fit in memory are refused before they are allocated."""

import pytest

from pgm_control import InvalidArgument, TabularModel, infer, soft_values, zoo
from pgm_control.runtime import memory


@pytest.mark.parametrize("where", ["torch", "auto"])
@pytest.mark.parametrize("solve", [lambda model: infer(model, 1.0), lambda model: soft_values(model, 1.0)])
def test_a_horizon_whose_tables_do_not_fit_is_refused_with_their_size(monkeypatch, where, solve):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", where)
    model = TabularModel(zoo()["restaurant"].build().replace(horizon=10**12))
    with pytest.raises(
        InvalidArgument, match=r"`model` must fit into memory, .* need [\d.]+ TiB, .* are free\. Shorten"
    ):
        solve(model)


@pytest.mark.parametrize("source", ["_of_the_machine", "_of_the_container", "_of_the_process"])
def test_the_smallest_known_limit_counts(monkeypatch, source):
    assert 0 < memory.free_memory() < float("inf")
    monkeypatch.setattr(memory, source, lambda: 1e8)
    memory.require_room("horizon", "the values", 10**7, 8, "Take less.")
    expected = r"`horizon` must fit into memory, but the values need 114 MiB, and 95\.4 MiB are free\. Take less\."
    with pytest.raises(InvalidArgument, match=expected):
        memory.require_room("horizon", "the values", 15 * 10**6, 8, "Take less.")
