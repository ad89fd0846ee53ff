"""Tests of the scorecard: its rows agree with `evaluate`, and it is printed and exported."""

import html
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from linear_gaussian import CLAMPED_ELBO, LOG_EVIDENCE, optimal_guide, program
from problems import gamble, random_mdp

from pgm_control import (
    ClampedGuide,
    FreeGuide,
    InvalidArgument,
    Optimism,
    TabularMDP,
    TabularModel,
    evaluate,
    infer,
    scorecard,
    zoo,
)
from pgm_control.guides.zoo import guide_zoo
from pgm_control.trajectories.blocks import HasBlocks


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


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(zoo()))
def test_the_columns_of_every_guide_add_up_on_every_problem(name):
    model = TabularModel(zoo()[name].build(), 0.5)
    if model.mdp.num_states * model.mdp.horizon > 3000:
        model = TabularModel(model.mdp.replace(horizon=10), model.temperature)
    guides = {each: entry.build(model) for each, entry in guide_zoo().items()}
    guides = {each: guide for each, guide in guides.items() if isinstance(guide, HasBlocks)}
    guides |= {f"β = {beta:g}": infer(model, beta) for beta in (1.0, 0.4, 0.0, -0.5)}
    for each, row in scorecard(model, guides).scores.items():
        total = row.imagined_return / model.temperature - row.policy_kl - row.dynamics_kl
        assert row.elbo == pytest.approx(total, rel=1e-9, abs=1e-9), each


def test_the_columns_add_up_with_a_random_start_and_freed_survival():
    mdp = random_mdp(seed=2, discount=0.8)
    for prior in (None, "count"):
        model = TabularModel(mdp, 0.7, prior)
        posterior = infer(model, Optimism(1.0, 1.0, 1.0))
        row = scorecard(model, {"free": posterior}).scores["free"]
        assert row.elbo == pytest.approx(posterior.log_evidence)
        assert row.imagined_return / 0.7 - row.policy_kl - row.dynamics_kl == pytest.approx(row.elbo)


def test_the_last_row_is_the_best_policy_at_any_temperature():
    """17 fourteenths in the limit: the frozen lake's best policy reaches the goal in 74.4 % of 100 steps."""
    lake = zoo()["frozen_lake"].build()
    for temperature in (0.05, 1.0):
        model = TabularModel(lake, temperature)
        card = scorecard(model, {"clamped": infer(model, 0.0)})
        assert list(card.scores) == ["clamped", "best policy"]
        best = card.scores["best policy"]
        assert best.true_return == best.imagined_return == pytest.approx(0.7441902878, abs=1e-10)
        assert best.true_return > card.scores["clamped"].true_return
        assert "best policy" in str(card)
    with pytest.raises(InvalidArgument, match="`guides` must not name a guide 'best policy'"):
        scorecard(model, {"best policy": infer(model, 0.0)})


def test_the_best_policy_uses_the_horizon_and_the_allowed_actions():
    """Walk three steps for 10, or take 1 at once: with two steps left the walk is too long."""
    mdp = TabularMDP(
        initial=[1.0, 0, 0, 0],
        probability=np.ones((4, 2, 1)),
        successor=[[[1], [0]], [[2], [1]], [[3], [2]], [[3], [3]]],
        reward=[[[0.0], [1.0]], [[0.0], [1.0]], [[10.0], [1.0]], [[0.0], [0.0]]],
        horizon=5,
    )
    model = TabularModel(mdp, 2.0)
    assert scorecard(model, {"a": model}).scores["best policy"].true_return == pytest.approx(12.0)
    short = TabularModel(mdp.replace(horizon=2), 2.0)
    assert scorecard(short, {"a": short}).scores["best policy"].true_return == pytest.approx(2.0)
    masked = TabularModel(mdp, 2.0, [[1.0, 0.0]] * 4)
    assert scorecard(masked, {"a": masked}).scores["best policy"].true_return == pytest.approx(10.0)


def test_a_guide_at_its_optimum_that_earns_something_else_is_reported():
    """The ELBO does not depend on a pit that the guide never expects to enter; the true return does."""
    pit = TabularMDP(
        initial=[1.0, 0.0, 0.0],
        probability=[[[0.5, 0.5]] * 2, [[1.0, 0.0]] * 2, [[1.0, 0.0]] * 2],
        successor=[[[1, 2]] * 2, [[1, 1]] * 2, [[2, 2]] * 2],
        reward=[[[0.0, -100.0]] * 2, [[0.0, 0.0]] * 2, [[0.0, 0.0], [-50.0, 0.0]]],
        horizon=2,
    )
    model = TabularModel(pit)
    guide = FreeGuide(model)
    guide.assign(guide.optimum())
    assert scorecard(model, {"at its optimum": guide}).untrained == {}
    guide.policy_logits.data[1, 2] = 0.0
    card = scorecard(model, {"mine": guide})
    for text in (str(card), card._repr_html_(), card.to_dict()["untrained"]["mine"]):
        flat = html.unescape(" ".join(text.split()))
        assert '"mine" is within 0 nats of its optimum and yet truly earns -62.5, not -50' in flat


def test_with_a_discount_the_evidence_frees_survival():
    model = TabularModel(random_mdp(seed=1, discount=0.7))
    card = scorecard(model, exact(model))
    assert card.log_evidence == infer(model, Optimism(1.0, 1.0, 1.0)).log_evidence
    assert card.scores["free"].gap > 0


def test_the_table_has_aligned_columns_with_units():
    model = TabularModel(gamble())
    text = str(scorecard(model, {"free, exact": infer(model, 1.0), "clamped, fitted": FreeGuide(model)}))
    lines = text.partition("\n\n")[0].splitlines()
    assert len({len(line) for line in lines[:-1]}) == 1, "columns line up"
    for heading in ("ELBO", "gap", "imagined return", "true return", "delusion", "KL of policy", "KL of dynamics"):
        assert heading in lines[0]
    assert "nats" in lines[1]
    assert "reward" in lines[1]
    sum_of_columns = "ELBO = imagined return − KL of policy − KL of dynamics"
    assert re.search(rf"^log p\(O\) = \d+\.\d{{4}} nats; {sum_of_columns}$", lines[-1])
    assert "-0.0000" not in text


def test_rounding_errors_beside_large_returns_are_printed_as_0():
    card = scorecard(TabularModel(gamble()), {"free": infer(TabularModel(gamble()), 1.0)})
    row = replace(card.scores["free"], true_return=3e12, imagined_return=3e12, delusion=0.25, gap=0.25)
    printed = str(replace(card, scores={"free": row})).splitlines()[3].split()
    assert (printed[1:3], printed[5]) == (["3e+12", "0.0000"], "0.2500"), "nats are compared with nats"


def test_the_scorecard_is_exported_as_json_and_html():
    model = TabularModel(gamble())
    card = scorecard(model, {"<free>": infer(model, 1.0)})
    assert json.loads(json.dumps(card.to_dict()))["scores"]["<free>"]["gap"] == pytest.approx(0.0, abs=1e-9)
    page = card._repr_html_()
    assert "&lt;free&gt;" in page
    assert page.count("<td") == 16


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


def test_a_program_without_tables_is_scored_by_sampling():
    card = scorecard(program, {"free": optimal_guide(1.0), "clamped": optimal_guide(0.0)}, num_samples=4000, seed=0)
    free, clamped = card.scores["free"], card.scores["clamped"]
    assert card.log_evidence is None
    assert free.elbo.mean == pytest.approx(LOG_EVIDENCE, abs=1e-5)
    assert free.effective_sample_size == pytest.approx(4000, rel=1e-3)
    assert abs(clamped.elbo.mean - CLAMPED_ELBO) <= 4 * clamped.elbo.standard_error
    assert clamped.dynamics_kl.mean == pytest.approx(0.0, abs=1e-6)
    assert abs(clamped.delusion.mean) <= 4 * clamped.delusion.standard_error
    # ELBO = imagined return / τ − KL of policy − KL of dynamics, draw by draw.
    for score in (free, clamped):
        parts = score.imagined_return.mean - score.policy_kl.mean - score.dynamics_kl.mean
        assert parts == pytest.approx(score.elbo.mean, abs=1e-5)
    assert "not known here" in str(card)
    assert "4,000 draws" in card._repr_html_()
    assert card.to_dict()["scores"]["free"]["elbo"]["num_samples"] == 4000


def test_a_tabular_model_is_scored_by_sampling_if_asked():
    model = TabularModel(random_mdp(seed=2, horizon=3), 0.7)
    guides = {"clamped": infer(model, 0.0), "free": infer(model, 1.0)}
    exact, found = scorecard(model, guides), scorecard(model, guides, num_samples=20_000, seed=0)
    assert found.log_evidence == pytest.approx(exact.log_evidence)
    for name in guides:
        for key in ("elbo", "imagined_return", "policy_kl", "dynamics_kl", "true_return", "delusion"):
            estimate, value = getattr(found.scores[name], key), getattr(exact.scores[name], key)
            assert abs(estimate.mean - value) <= 4 * estimate.standard_error + 1e-6, (name, key)
