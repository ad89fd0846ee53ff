"""The lecture as a notebook with sliders: restaurant, lottery, cliff, dial, ledger, your guide, a number.

pip install ".[notebook,fast]" -c constraints.txt
marimo edit examples/notebook.py
"""

# A cell shows its last expression.
# pyright: reportUnusedExpression=false

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Free and clamped: control as inference")

with app.setup:
    import marimo as mo
    import torch

    from pgm_control import (
        LinearQuadratic,
        LinearQuadraticModel,
        MarkovGuide,
        OptimismBreakdown,
        TabularModel,
        breakdown,
        explain,
        fit,
        frontier,
        infer,
        ledger,
        plot,
        scorecard,
        zoo,
    )
    from pgm_control.models import lottery, restaurant
    from pgm_control.testing import check_guide


@app.cell(hide_code=True)
def _():
    mo.md(r"""
    # Free and clamped

    A control problem is a graphical model. At each step an optimality variable has the likelihood
    $\exp(\text{reward} / \tau)$. Conditioning on "every step was optimal" gives a posterior, and the posterior gives a
    policy. We call the distribution $p(k \mid s, a)$ of the outcomes of an action a die.

    - **free**: the posterior may change the dice as well as the actions. It is optimistic.
    - **clamped**: the dice stay true. This gives the maximum-entropy policy.
    - **the dial**: $1/\beta$ is the price of a nat of change of the dice. $\beta = 1$ pays it at par (free),
      $\beta \to 0$ forbids it (clamped), and $\beta < 0$ gives the dice to an adversary.

    When you move a slider, everything that depends on it is computed again, exactly.
    """)
    return


@app.cell
def _():
    beta_slider = mo.ui.slider(-2.0, 2.0, 0.05, value=0.3, show_value=True, label="optimism β")
    return (beta_slider,)


@app.cell
def _(beta_slider):
    beta = beta_slider.value
    return (beta,)


@app.cell
def _():
    temperature_slider = mo.ui.slider(
        steps=[0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0], value=1.0, show_value=True, label="temperature τ"
    )
    return (temperature_slider,)


@app.cell
def _(temperature_slider):
    temperature = temperature_slider.value
    return (temperature,)


@app.cell
def _(beta):
    def three(model):
        """The exact posteriors: free, dial and clamped."""
        return {
            "free": infer(model, optimism=1.0),
            f"dial, β = {beta:g}": infer(model, optimism=beta),
            "clamped": infer(model, optimism=0.0),
        }

    return (three,)


@app.cell(hide_code=True)
def _(beta_slider, temperature_slider):
    mo.md(f"""
    ## 1. The restaurant

    The Italian kitchen is bad, good or spectacular (utilities −10, 6, 8) with probabilities .2, .6, .2; the French one
    with .05, .9, .05. Where do you eat?

    {mo.hstack([beta_slider, temperature_slider], justify="start", gap=3)}
    """)
    return


@app.cell
def _(temperature):
    dinner = TabularModel(restaurant(), temperature)
    return (dinner,)


@app.cell
def _(dinner, three):
    dinners = three(dinner)
    mo.ui.tabs(
        {
            name: mo.vstack([found, plot.outcomes(dinner, found, state=0, action=0, name=name).figure], align="start")
            for name, found in dinners.items()
        }
    )
    return (dinners,)


@app.cell(hide_code=True)
def _():
    jackpot_slider = mo.ui.slider(
        steps=[1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.3, 0.5], value=0.01, show_value=True, label="chance of the jackpot"
    )
    mo.md(f"""
    ## 2. A ticket or a day's work

    A ticket costs 1 and may win 12; work pays 3. How rare must the jackpot be before the free agent stops buying?

    {jackpot_slider}
    """)
    return (jackpot_slider,)


@app.cell
def _(jackpot_slider):
    jackpot_probability = jackpot_slider.value
    return (jackpot_probability,)


@app.cell
def _(jackpot_probability, temperature, three):
    ticket = TabularModel(lottery(jackpot_probability), temperature)
    tickets = three(ticket)
    scorecard(ticket, tickets)
    return (tickets,)


@app.cell
def _(tickets):
    mo.hstack(
        [mo.stat(f"{found.policy[0, 0, 0]:.4f}", label=f"{name}: buys with") for name, found in tickets.items()],
        justify="start",
    )
    return


@app.cell
def _():
    problem_choice = mo.ui.dropdown(list(zoo()), value="slippery_cliff", label="problem")
    return (problem_choice,)


@app.cell
def _(problem_choice):
    problem = problem_choice.value
    return (problem,)


@app.cell
def _():
    horizon_slider = mo.ui.slider(2, 100, value=50, show_value=True, debounce=True, label="horizon T")
    return (horizon_slider,)


@app.cell
def _(horizon_slider):
    horizon = horizon_slider.value
    return (horizon,)


@app.cell(hide_code=True)
def _(beta_slider, horizon_slider, problem_choice, temperature_slider):
    mo.md(f"""
    ## 3. The cliff

    Every step costs 1, a fall costs 100 and returns to the start, and each step slips sideways with probability 2/3.
    The free posterior walks along the edge, almost certain not to slip. Choose another problem of the zoo, and a
    suitable temperature: for a frozen lake, where the goal pays 1, take τ = 0.05.

    {mo.hstack([problem_choice, horizon_slider], justify="start", gap=3)}
    {mo.hstack([beta_slider, temperature_slider], justify="start", gap=3)}
    """)
    return


@app.cell
def _(horizon, problem, temperature):
    mdp = zoo()[problem].build()
    if mdp.horizon > 1:  # the restaurant is always one decision
        mdp = mdp.replace(horizon=horizon)
    model = TabularModel(mdp, temperature)
    model
    return (model,)


@app.cell
def _(model, three):
    posteriors = three(model)
    scorecard(model, posteriors)
    return (posteriors,)


@app.cell
def _(model, posteriors):
    if plot.has_layout(model.mdp):
        _axes = plot.policy_maps(model, posteriors, shade="imagined visits")
    else:
        _axes = plot.policy_heatmap(posteriors["free"])
    _axes.flat[0].figure
    return


@app.cell
def _(beta, model):
    mo.vstack([explain(model), mo.md(f"With the dial at β = {beta:g}:"), explain(model, beta)])
    return


@app.cell
def _(posteriors):
    mo.ui.tabs(posteriors)
    return


@app.cell(hide_code=True)
def _(beta_slider):
    mo.md(f"""
    ## 4. The dial

    The imagined return for each β, and the return of its policy in the true world.

    {beta_slider}
    """)
    return


@app.cell
def _(beta, model):
    betas = sorted({-1.0, -0.5, 0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, beta})
    earned = frontier(model, betas)
    earned
    return (earned,)


@app.cell
def _(earned):
    plot.dial_sweep(earned).flat[0].figure
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## 5. The ledger

    The gap between the ELBO of the clamped guide and the log evidence, by time step, state and action.
    """)
    return


@app.cell
def _(model, posteriors):
    account = ledger(model, posteriors["clamped"])
    account
    return (account,)


@app.cell
def _(account):
    plot.ledger_over_time(account).figure
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## 6. Your own guide

    A guide declares what it may change by returning its blocks: log-probabilities of start, actions and dice. In this
    guide a single number tilts every die towards its immediate rewards. Edit the class to see what it believes and
    earns.
    """)
    return


@app.class_definition
class OptimisticGuide(MarkovGuide):
    def __init__(self, model):
        super().__init__(model)
        self.logits = torch.nn.Parameter(torch.zeros_like(model.blocks().log_policy))
        self.tilt = torch.nn.Parameter(torch.zeros(()))

    def blocks(self):
        own = self.model.blocks()  # the model's start, action prior and dynamics
        policy = torch.log_softmax(own.log_policy + self.logits, -1)
        pays = self.tilt * self.model.mdp.reward / self.model.temperature
        return own.replace(log_policy=policy, log_dynamics=torch.log_softmax(own.log_dynamics + pays, -1))


@app.cell
def _(model):
    checked = check_guide(model, OptimisticGuide(model))  # raises if it breaks a law
    mo.md(f"The laws hold: before the fit its ELBO is {checked.elbo:.4g}, log p(O) {checked.log_evidence:.4g} nats.")
    return (checked,)


@app.cell
def _(model):
    optimistic = fit(model, OptimisticGuide(model), num_steps=1000)
    optimistic
    return (optimistic,)


@app.cell
def _(optimistic, model, posteriors):
    scorecard(model, posteriors | {"optimistic": optimistic.guide})
    return


@app.cell
def _():
    a_slider = mo.ui.slider(0.5, 1.5, 0.05, value=0.9, show_value=True, label="a")
    b_slider = mo.ui.slider(0.1, 1.0, 0.05, value=0.5, show_value=True, label="b")
    noise_slider = mo.ui.slider(0.0, 1.0, 0.05, value=0.3, show_value=True, label="W")
    effort_slider = mo.ui.slider(steps=[0.05, 0.1, 0.2, 0.5, 1.0, 2.0], value=0.2, show_value=True, label="r")
    return a_slider, b_slider, effort_slider, noise_slider


@app.cell
def _(a_slider, b_slider, effort_slider, noise_slider):
    numbers = {"A": a_slider.value, "B": b_slider.value, "R": effort_slider.value, "W": noise_slider.value}
    return (numbers,)


@app.cell(hide_code=True)
def _(a_slider, b_slider, beta_slider, effort_slider, noise_slider):
    mo.md(f"""
    ## 7. A number

    States and actions can be numbers too: $s' = a s + b u + w$ with noise of variance $W$, six steps from $s = 1$ at
    the cost $\\tfrac12 (s^2 + r u^2)$ a step, τ = 1. Everything is exact for each β that has an optimum. Below the
    breakdown β* < 0 an adversary who chooses the noise can raise the cost without limit.

    {mo.hstack([a_slider, b_slider, noise_slider, effort_slider], justify="start", gap=3)}
    {beta_slider}
    """)
    return


@app.cell
def _(beta, numbers):
    scalar = LinearQuadraticModel(LinearQuadratic.from_cost(**numbers, Q=1.0, horizon=6, initial_mean=1.0))
    limits = breakdown(scalar)
    try:
        controlled = infer(scalar, beta)
        _shown = mo.vstack(
            [
                mo.hstack(
                    [
                        mo.stat(f"{controlled.gain[0, 0, 0]:.4f}", label="gain at t = 0"),
                        mo.stat(f"{controlled.policy_covariance[0, 0, 0]:.4f}", label="variance of the action"),
                        mo.stat(f"{limits.neurotic.optimism:.4f}", label="breakdown β*"),
                    ],
                    justify="start",
                ),
                plot.belief_paths(controlled).figure,
            ],
            align="start",
        )
    except OptimismBreakdown as _refusal:
        controlled = None
        _shown = mo.callout(str(_refusal), kind="warn")
    _shown
    return controlled, limits, scalar


@app.cell
def _(scalar):
    plot.gain_by_optimism(scalar).flat[0].figure
    return


if __name__ == "__main__":
    app.run()
