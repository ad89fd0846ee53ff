"""Tables that do not fit in memory are refused before they are allocated."""

import pytest

from pgm_control import InvalidArgument, TabularModel, infer, soft_values, zoo
from pgm_control.runtime import memory


@pytest.mark.parametrize("where", ["torch", "auto"])
@pytest.mark.parametrize("solve", [lambda model: infer(model, 1.0), lambda model: soft_values(model, 1.0)])
def test_a_horizon_whose_tables_do_not_fit_is_refused_with_their_size(monkeypatch, where, solve):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", where)
    model = TabularModel(zoo()["restaurant"].build().replace(horizon=10**12))
    with pytest.raises(InvalidArgument, match=r"`horizon` must make tables .* makes 89,407\.0 GiB, .* value_iteration"):
        solve(model)


def test_the_smallest_known_limit_counts(monkeypatch, tmp_path):
    assert 0 < memory._limit() < float("inf")
    (tmp_path / "memory.max").write_text("1000000\n")
    monkeypatch.setattr(memory, "_GROUP", tmp_path / "memory.max")
    assert memory._limit() == 1_000_000
    memory.require_memory("horizon", 5, 125_000, "Take less.")
    with pytest.raises(InvalidArgument, match=r"`horizon` must make tables that fit in memory, but 5 makes 0\.0 GiB"):
        memory.require_memory("horizon", 5, 125_001, "Take less.")
