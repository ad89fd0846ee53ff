"""Tests of the scorecard: its rows agree with `evaluate`, and it is printed and exported."""

import json
import math
import re

import pytest
from problems import gamble, random_mdp

from pgm_control import ClampedGuide, FreeGuide, Optimism, TabularModel, evaluate, infer, scorecard


def exact(model):
    return {"free": infer(model, 1.0), "clamped": infer(model, 0.0), "prior": model, "guide": ClampedGuide(model)}


def test_rows_agree_with_their_parts():
    model = TabularModel(random_mdp(seed=1, horizon=4), 0.7)
    card = scorecard(model, exact(model))
    assert card.log_evidence == infer(model, 1.0).log_evidence
    for name, guide in exact(model).items():
        row, found = card.scores[name], evaluate(model, guide)
        assert (row.elbo, row.true_return, row.imagined_return) == (
            found.elbo,
            found.true_return,
            found.imagined_return,
        )
        assert row.gap == pytest.approx(card.log_evidence - row.elbo)
        assert row.gap >= -1e-9
        assert row.delusion == pytest.approx(row.imagined_return - row.true_return)
    assert card.scores["free"].gap == pytest.approx(0.0, abs=1e-9)
    assert card.scores["clamped"].dynamics_kl == 0.0
    assert card.scores["free"].dynamics_kl > 0.01


def test_the_elbo_is_the_imagined_return_minus_the_kl_terms():
    """E[r]/τ − KL(policy) − KL(dynamics) − KL(start) = log p(O); the start is fixed, so its KL is 0."""
    model = TabularModel(gamble(horizon=2))
    row = scorecard(model, exact(model)).scores["free"]
    posterior = infer(model, 1.0)
    kl = (posterior.distribution.log_policy - model.action_prior.log()) * posterior.marginals().state_action
    assert row.imagined_return - float(kl.sum()) - row.dynamics_kl == pytest.approx(row.elbo)


def test_with_a_discount_the_evidence_frees_survival():
    model = TabularModel(random_mdp(seed=1, discount=0.7))
    card = scorecard(model, exact(model))
    assert card.log_evidence == infer(model, Optimism(1.0, 1.0, 1.0)).log_evidence
    assert card.scores["free"].gap > 0


def test_the_table_has_aligned_columns_with_units():
    model = TabularModel(gamble())
    text = str(scorecard(model, {"free, exact": infer(model, 1.0), "clamped, fitted": FreeGuide(model)}))
    lines = text.splitlines()
    assert len({len(line) for line in lines[:-1]}) == 1, "columns line up"
    for heading in ("ELBO", "gap", "imagined return", "true return", "delusion", "policy entropy", "KL of dynamics"):
        assert heading in lines[0]
    assert "nats" in lines[1]
    assert "reward" in lines[1]
    assert re.search(r"^log p\(O\) = \d+\.\d{4} nats$", lines[-1])
    assert "-0.0000" not in text


def test_the_scorecard_is_exported_as_json_and_html():
    model = TabularModel(gamble())
    card = scorecard(model, {"<free>": infer(model, 1.0)})
    assert json.loads(json.dumps(card.to_dict()))["scores"]["<free>"]["gap"] == pytest.approx(0.0, abs=1e-9)
    page = card._repr_html_()
    assert "&lt;free&gt;" in page
    assert page.count("<td") == 8


def test_no_guides_is_refused():
    with pytest.raises(ValueError, match="`guides` must map names to guides, at least one, but is empty"):
        scorecard(TabularModel(gamble()), {})


def test_where_nothing_is_possible_the_gap_is_zero():
    model = TabularModel(gamble().replace(reward=[[[-math.inf, -math.inf], [-math.inf, -math.inf]]]))
    row = scorecard(model, {"free": infer(model, 1.0)}).scores["free"]
    assert (row.elbo, row.gap, row.delusion) == (-math.inf, 0.0, 0.0)


def test_temperature_zero_is_refused_by_name():
    model = TabularModel(gamble(), 0.0)
    with pytest.raises(ValueError, match="`model` must have a positive temperature"):
        scorecard(model, {"hard": infer(model, 0.0)})
