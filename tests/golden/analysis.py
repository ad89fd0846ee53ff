"""Derivatives, scores, ledgers, samples and other queries to a model."""

from collections.abc import Callable
from typing import Any

import torch

from pgm_control import (
    ClampedGuide,
    Ensemble,
    Optimism,
    PartiallyObservedModel,
    TabularModel,
    condition_on_return,
    conditional_smc,
    critical_optimism,
    debias,
    estimate,
    evaluate,
    explain,
    frontier,
    history_optimum,
    infer,
    iwae_bound,
    ladder,
    ledger,
    log_weights,
    objective,
    renyi_bound,
    return_distribution,
    return_moments,
    rollout,
    scorecard,
    smc,
    soft_values,
    to_gymnasium,
)
from pgm_control.exchange import to_dense, to_mdptoolbox, to_quantecon
from pgm_control.models import risky_path, tiger, windy_bridge, windy_bridge_in_parts

from .entries import attributes
from .zoo import model_of

NAMES = ("restaurant", "risky_path", "windy_bridge")  # problems of the zoo
PARTS = ("own", "wind")  # of the dynamics of `windy_bridge_in_parts`


def cases() -> dict[str, Callable[[], Any]]:
    """Results by name of the function and of the problem."""
    models = {name: model_of(name) for name in NAMES}
    models["discounted"] = TabularModel(windy_bridge(horizon=6).replace(discount=0.9), 1.0)
    by_model = (_derivatives, _scores, _ledgers, _sampled, _debiased, _returns, _marginals)
    found: dict[str, Callable[[], Any]] = {
        f"{case.__name__[1:]}_{name}": lambda case=case, model=model: case(model)
        for case in by_model
        for name, model in models.items()
    }
    for name in NAMES:
        found[f"ladder_{name}"] = lambda name=name: _rungs(models[name])
        found[f"explain_{name}"] = lambda name=name: _explained(models[name])
    return {
        **found,
        "second_derivatives": _second_derivatives,
        "batch_of_settings": _batch_of_settings,
        "optimism_by_block": _optimism_by_block,
        "history_optimum": lambda: history_optimum(PartiallyObservedModel(tiger(horizon=3), 5.0)).to_dict(),
        "ensemble": _ensemble,
        "return_conditioned": _return_conditioned,
        "rollout": _played,
        "exchange": _exchanged,
    }


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _derivatives(model: TabularModel) -> dict[str, Any]:
    """Derivatives of the objective, and of a function of all values, by each argument."""
    found: dict[str, Any] = {}
    for name in ("objective", "values"):
        given = {
            "reward": model.mdp.reward.clone(),
            "final_reward": torch.linspace(-1, 1, model.mdp.num_states, dtype=torch.float64),
            "temperature": torch.tensor(model.temperature, dtype=torch.float64),
            "action_prior": model.action_prior.clone(),
        }
        optimism = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
        for each in given.values():
            each.requires_grad_()
        values = soft_values(model, optimism, **given)
        (values.objective if name == "objective" else values.q.sum() + values.v[0].square().sum()).backward()
        found[name] = {each: table.grad for each, table in given.items()} | {"optimism": optimism.grad}
        found[name] |= attributes(values, "q v objective")
    return found


def _scores(model: TabularModel) -> dict[str, Any]:
    torch.manual_seed(0)
    guide = ClampedGuide(model)
    with torch.no_grad():
        guide.policy_logits.normal_()
    free, clamped = infer(model, 1.0), infer(model, 0.0)
    return {
        "scorecard": scorecard(model, {"free": free, "clamped": clamped, "guide": guide}).to_dict(),
        "evaluate": attributes(evaluate(model, guide), "true_return imagined_return policy_entropy elbo delusion"),
        "policy": attributes(evaluate(model, free.policy), "true_return imagined_return policy_entropy elbo"),
        "objective": [objective(model, guide, beta) for beta in (-0.5, 0.0, 0.3, 1.0)],
        "renyi": [renyi_bound(model, free, order) for order in (0.5, 2.0)],
        "frontier": frontier(model, (-0.5, 0.0, 0.5, 1.0)).to_dict(),
    }


def _ledgers(model: TabularModel) -> dict[str, Any]:
    names = "log_evidence elbo initial_by_state policy_by_state dynamics_by_pair survival_by_state delusion_by_step"
    names += " jensen totals gap"
    clamped = infer(model, 0.0)
    return {
        "clamped": attributes(ledger(model, clamped), names),
        "policy": attributes(ledger(model, infer(model, 0.5).policy), names),
        "robust": attributes(ledger(model, clamped, 0.0), names),
    }


def _sampled(model: TabularModel) -> dict[str, Any]:
    """Samples by seed; the exact clamped posterior is the proposal."""
    free, clamped = infer(model, 1.0), infer(model, 0.0)
    names = "log_evidence log_weights trajectories effective_sample_size resampled"
    found = smc(model, clamped, 50, seed=_generator())
    ahead = smc(model, clamped, 20, seed=_generator(), lookahead=free.v / model.temperature)
    again = conditional_smc(model, clamped, found.sample(1, _generator()), 20, seed=_generator())
    return {
        "sample": free.sample(20, _generator()),
        "mode": free.mode(),
        "smc": attributes(found, names),
        "marginals": found.marginals(),
        "lookahead": attributes(ahead, names),
        "conditional_smc": attributes(again, names),
        "log_weights": log_weights(model, clamped, 20, _generator()),
        "iwae": attributes(iwae_bound(model, clamped, 5, 40, _generator()), "mean standard_error"),
        "estimate": estimate(model, clamped, 40, _generator()).to_dict(),
    }


def _debiased(model: TabularModel) -> dict[str, Any]:
    return debias(model).to_dict()


def _returns(model: TabularModel) -> dict[str, Any]:
    free = infer(model, 1.0)
    found = return_distribution(model, free)
    return {
        **attributes(found, "values probability mean variance"),
        "cvar": found.cvar(0.1),
        "moments": return_moments(model, free),
    }


def _marginals(model: TabularModel) -> dict[str, Any]:
    free = infer(model, Optimism(1.0, 1.0, 1.0))
    return {
        "states": free.marginals().state,
        "pairs": free.marginals().state_action,
        "forward": free.forward,
        "survival": free.blocks().log_survival,
    }


def _rungs(model: TabularModel) -> dict[str, Any]:
    found = ladder(model)
    rungs = {each.name: attributes(each, "value upper_bound policy true_return actions") for each in found.rungs}
    return {**rungs, "num_nodes": found.num_nodes}


def _explained(model: TabularModel) -> dict[str, Any]:
    found = explain(model)
    return {**attributes(found, "differs gap price_of_optimism"), "text": " ".join((*found.sentences, found.headline))}


def _second_derivatives() -> dict[str, Any]:
    model = model_of("risky_path")
    reward = model.mdp.reward.clone().requires_grad_()
    first = torch.autograd.grad(soft_values(model, 0.5, reward=reward).objective, reward, create_graph=True)[0]
    return {"first": first, "second": torch.autograd.grad(first.square().sum(), reward)[0]}


def _batch_of_settings() -> dict[str, Any]:
    """Solve for four temperatures and three optimisms in one call; one optimism is 0."""
    model = model_of("windy_bridge")
    temperature = torch.logspace(-1, 1, 4, dtype=torch.float64).requires_grad_()
    optimism = torch.tensor([[-0.5], [0.0], [1.0]], dtype=torch.float64, requires_grad=True)
    found = soft_values(model, optimism, temperature=temperature)
    found.objective.sum().backward()
    by = {"by_temperature": temperature.grad, "by_optimism": optimism.grad}
    return attributes(found, "q v objective") | by


def _optimism_by_block() -> dict[str, Any]:
    """Solve with one β per factor of the dynamics, a table of β, a final reward, and forbidden outcomes."""
    parts, names = windy_bridge_in_parts().joint(), "q v policy dynamics objective"
    model, path = TabularModel(parts, 1.0), risky_path()
    table = torch.linspace(-0.5, 1.0, path.num_states * path.num_actions, dtype=torch.float64)
    pays_last = path.replace(final_reward=torch.linspace(-1, 2, path.num_states, dtype=torch.float64))
    forbids = path.replace(reward=torch.where(path.reward < -10, -torch.inf, path.reward))
    found = {
        **{part: attributes(infer(model, Optimism({"own": 0.0, "wind": 0.0, part: 1.0})), names) for part in PARTS},
        "table": attributes(infer(TabularModel(path), Optimism(table.reshape(path.num_states, -1), 0.2)), names),
        "final_reward": attributes(infer(TabularModel(pays_last), 0.5), names),
        "forbids": {f"{beta:g}": attributes(infer(TabularModel(forbids), beta), names) for beta in (-0.5, 0.0, 1.0)},
        "hard": attributes(infer(TabularModel(path, 0.0), 0.0), "q v policy dynamics value"),
        "float32": attributes(infer(TabularModel(path.to(dtype=torch.float32)), 0.5), names),
    }
    flip = critical_optimism(model_of("restaurant"), 0)
    return {**found, "flip": attributes(flip, "optimism before after")}


def _ensemble() -> dict[str, Any]:
    members = [windy_bridge_in_parts(gust=gust).joint() for gust in (0.05, 0.3)]
    both = TabularModel(Ensemble(members, [0.3, 0.7], ["calm", "wild"]).joint(), 1.0)
    optimistic = infer(both, Optimism({"own": 0.5, "wind": 0.0}, {"member": 1.0, "state": 0.0}))
    return attributes(optimistic, "q v initial policy dynamics objective")


def _return_conditioned() -> dict[str, Any]:
    found = condition_on_return(risky_path(), 3.0)
    numbers = attributes(found, "behaviour success best_success imagined_return true_return delusion state so_far")
    return {**numbers, "policy": found.posterior.policy, "returns": found.returns.to_dict()}


def _played() -> dict[str, Any]:
    """Roll a policy out in the live environment of the problem."""
    model = model_of("windy_bridge")
    found = rollout(to_gymnasium(model.mdp), infer(model, 0.0).policy, 20, seed=0)
    return attributes(found, "returns lengths terminated")


def _exchanged() -> dict[str, Any]:
    mdp = windy_bridge()
    return {
        "dense": attributes(to_dense(mdp, merge=True), "initial transition reward"),
        "mdptoolbox": to_mdptoolbox(mdp, merge=True),
        "quantecon": to_quantecon(mdp, merge=True),
    }
