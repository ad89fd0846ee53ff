"""The risky path: two safe steps to the goal, or a jump that reaches the goal or a pit with probability ½ each."""

from pgm_control.problems.mdp import TabularMDP


def risky_path(horizon: int = 5) -> TabularMDP:
    r"""Walk to the goal in two steps, or jump: half of the jumps arrive in one step, half end in a pit.

    The problem is that of `RiskyPath-v0` in seals (github.com/HumanCompatibleAI/seals), which was made to show how
    maximum-entropy inverse reinforcement learning goes wrong when it mistakes chance for choice.

    Joint density
        $$\tilde p = \prod_{t=0}^{T-1} \rho(a_t)\, p(s_{t+1} \mid s_t, a_t)\, \exp(r(s_t) / \tau)$$

    States
        `start`, `path`, `goal`, `pit`. Nothing leads out of the goal or the pit.

    Actions
        Two, named after their effect in the start state.

        | state | `safe` | `risky` |
        |---|---|---|
        | start | to the path | to the goal or the pit, ½ each |
        | path | to the goal | stay on the path |
        | goal, pit | stay | stay |

    Outcomes and rewards
        The reward of a step depends on the state in which it is taken, not on its outcome: 1 in the goal, −100 in the
        pit, else 0. The last state, $s_T$, has no reward.

    Horizon
        T = `horizon` actions; nothing ends the episode earlier. Each further step brings one more reward in the goal or
        the pit.

    Known exactly
        A jump has the mean return −49.5 (T − 1). At τ = 1 with a uniform prior, by `infer`, checked in the tests: the
        free P(risky | start) is .6652 at T = 3, .6884 at T = 5 and .6893 at T = 10; the clamped one is 5.4e-44, 8.3e-88
        and 1.8e-197.

    Args:
        horizon: T; below 2 no reward can be reached, below 3 the safe path earns nothing.
    """
    certain = [1.0, 0.0]
    goal, pit = 2, 3
    stay = [[s, s] for s in range(4)]
    return TabularMDP(
        initial=[1.0, 0.0, 0.0, 0.0],
        probability=[[certain, [0.5, 0.5]], *[[certain, certain]] * 3],
        successor=[[[1, 1], [goal, pit]], [[goal, goal], stay[1]], *[[stay[s]] * 2 for s in (goal, pit)]],
        reward=[[[pay, pay]] * 2 for pay in (0.0, 0.0, 1.0, -100.0)],
        horizon=horizon,
        state_names=("start", "path", "goal", "pit"),
        action_names=("safe", "risky"),
    )
