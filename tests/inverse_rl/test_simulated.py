"""Learning a reward in a live environment: its estimates compared with exact answers, and the learned behaviour."""

import signal

import gymnasium
import numpy as np
import pytest
import torch

from pgm_control import Optimism, TabularMDP, TabularModel, infer, to_gymnasium
from pgm_control.environments.vector_environments import Worlds
from pgm_control.inverse_rl import InverseStatus, Recording, inverse_in_simulator
from pgm_control.inverse_rl.simulated import partition_weights, sample_episodes
from pgm_control.learners import SAC, SoftQLearning

pytestmark = pytest.mark.slow

TABLE = {"hidden": (), "batch_size": 128, "target_rate": 0.05, "learning_rate": 0.05}


def gamble():
    """Return a problem of two states and three steps with random dynamics and a reward of states and actions."""
    probability = [[[0.9, 0.1], [0.5, 0.5]], [[0.3, 0.7], [1.0, 0.0]]]
    reward = np.array([[[0.2, 0.2], [-0.4, -0.4]], [[1.0, 1.0], [0.1, 0.1]]])
    return TabularMDP([1.0, 0.0], probability, [[[0, 1], [0, 1]], [[0, 1], [0, 1]]], reward, horizon=3)


class Table(torch.nn.Module):
    """A reward of (state, action), one-hot, that does not depend on the next state."""

    def __init__(self, values):
        super().__init__()
        self.values = torch.nn.Parameter(torch.as_tensor(values, dtype=torch.float32))

    def forward(self, rows):
        states, actions = self.values.shape
        return torch.einsum("...s,sa,...a->...", rows[..., :states], self.values, rows[..., states : states + actions])


@pytest.mark.parametrize(("free", "learned"), [(False, False), (True, False), (True, True)])
def test_sampled_episodes_estimate_the_visits_of_either_model(free, learned):
    """Visits agree with the exact marginals within five standard errors: with those of the action prior, and, weighted,
    with those of p(·|O) for any proposal policy."""
    mdp = gamble()
    learner = SoftQLearning(lambda: to_gymnasium(mdp), discount=0.99, seed=0, **TABLE)  # a table of zeros: the prior
    if learned:
        learner.learn(300)
    torch.manual_seed(0)
    number = 4000
    made = sample_episodes(Worlds(lambda: to_gymnasium(mdp), number, 0), learner, 3, 0)
    assert made.alive.all()
    assert (made.log_ratio.abs().max() > 0.5) if learned else (made.log_ratio.abs().max() < 1e-6)
    paid = Table(mdp.reward[..., 0])(
        torch.cat((made.observations, torch.nn.functional.one_hot(made.actions, 2), made.reached), -1)
    ).sum(-1)
    weight = (
        partition_weights(made, paid.detach(), 1.0).double() if free else torch.full((number,), 1 / number).double()
    )
    pairs = made.observations.argmax(-1) * 2 + made.actions
    visits = torch.nn.functional.one_hot(pairs, 4).double().sum(1)
    found = weight @ visits
    model = TabularModel(mdp if free else mdp.replace(reward=torch.zeros_like(mdp.reward)))
    exact = infer(model, Optimism(1.0, initial=0.0)).marginals().state_action.sum(0).flatten()
    error = (weight.square() @ (visits - found).square()).sqrt()
    assert ((found - exact).abs() < 5 * error).all()
    other = infer(TabularModel(mdp), Optimism(0.0, initial=0.0)).marginals().state_action.sum(0).flatten()
    assert ((found - other).abs() > 5 * error).any()  # it differs from the clamped optimum


def test_the_weights_in_a_box_use_the_density_of_the_policy():
    """The mean of ρ/π under π is 1, within five standard errors."""
    learner = SAC("Pendulum-v1", temperature=1.0, seed=0, hidden=(16,))
    torch.manual_seed(0)
    made = sample_episodes(Worlds("Pendulum-v1", 500, 0), learner, 1, 0)
    ratio = (-made.log_ratio).exp()
    assert abs(float(ratio.mean()) - 1) < 5 * float(ratio.std()) / 500**0.5
    assert float(ratio.std()) > 0.01


def test_an_episode_is_over_when_the_pole_has_fallen():
    """CartPole ends if |x| > 2.4 or |angle| > 12 degrees: this holds after the last counted step, and not before."""
    learner = SoftQLearning("CartPole-v1", seed=0, hidden=(4,))
    torch.manual_seed(0)
    made = sample_episodes(Worlds("CartPole-v1", 10, 0), learner, 100, 0)
    assert made.alive[:, 0].all()
    fallen = (made.reached[..., 0].abs() > 2.4) | (made.reached[..., 2].abs() > np.pi / 15)
    for alive, down in zip(made.alive, fallen, strict=True):
        n = int(alive.sum())
        assert alive[:n].all()
        assert down[n - 1] or n == 100
        assert not down[: n - 1].any()


def test_replayed_transitions_are_paid_by_the_present_reward():
    learner = SoftQLearning(lambda: to_gymnasium(gamble()), seed=0, learning_starts=0, **TABLE)
    learner.pay_by(lambda batch: batch.observation[:, 0] + 10.0)
    learner.learn(50)
    batch = learner.parts()["experience"].batch()
    assert torch.equal(batch.reward, batch.observation[:, 0] + 10.0)


def recordings(mdp, policy, number):
    """Return complete episodes of a policy (T, S, A) in the live environment."""
    env, rng, found = to_gymnasium(mdp), np.random.default_rng(0), []
    for i in range(number):
        observation, _ = env.reset(seed=i)
        seen, done, over = [observation], [], False
        terminated = False
        while not over:
            done.append(int(rng.choice(mdp.num_actions, p=policy[len(done), seen[-1]])))
            observation, _, terminated, truncated, _ = env.step(done[-1])
            seen.append(observation)
            over = terminated or truncated
        found.append(Recording(seen, done, terminated))
    return found


def test_the_behaviour_of_the_demonstrations_is_learned():
    """The demonstrator is stationary, γ = .8: after 60 rounds the policy agrees with it in both states."""
    mdp = gamble().replace(horizon=12)
    policy = np.tile([[0.85, 0.15], [0.3, 0.7]], (12, 1, 1))
    learner = SoftQLearning(
        lambda: to_gymnasium(mdp), temperature=1.0, discount=0.8, seed=0, learning_starts=50, num_envs=8, **TABLE
    )
    found = inverse_in_simulator(
        lambda: to_gymnasium(mdp),
        recordings(mdp, policy, 200),
        Table(torch.zeros(2, 2)),
        learner=learner,
        num_rounds=60,
        steps_per_round=160,
        num_episodes=64,
        learning_rate=0.05,
        prior=3.0,
        seed=0,
    )
    assert found.status is InverseStatus.out_of_steps
    assert str(found).splitlines() == [repr(found), *found.findings()]
    assert found.status.message in str(found)
    assert "Identification: not computed" in str(found)
    assert len(found.rounds) == 60
    learned = learner.log_policy(torch.eye(3)[:2] if learner.observations.features == 3 else torch.eye(2)).exp()
    np.testing.assert_allclose(learned.numpy(), policy[0], atol=0.08)
    assert found.rounds[-1].demonstrated == pytest.approx(found.rounds[-1].earned, abs=0.3)


@pytest.mark.parametrize("learning", [False, True])
def test_ctrl_c_ends_the_search_after_the_round(learning):
    """This also holds during the learner's updates, which take nearly all of the time."""
    mdp = gamble()
    policy = np.full((mdp.horizon, mdp.num_states, mdp.num_actions), 1 / mdp.num_actions)
    learner = SoftQLearning(lambda: to_gymnasium(mdp), seed=0, learning_starts=10**6, **TABLE)
    advance, shown = learner.advance, []

    def press():
        if len(shown) == 2:
            signal.raise_signal(signal.SIGINT)

    def pressed():
        press()
        return advance()

    def progress(number, metrics):
        shown.append(number)
        if not learning:
            press()

    if learning:
        learner.advance = pressed

    def run(rounds):
        shown.clear()
        return inverse_in_simulator(
            lambda: to_gymnasium(mdp), recordings(mdp, policy, 5), Table(torch.zeros(2, 2)),
            learner=learner, num_rounds=rounds, steps_per_round=4, num_episodes=2, seed=0, progress=progress,
        )  # fmt: skip

    found = run(5)
    rounds = 3 if learning else 2
    assert (found.status, len(found.rounds)) == (InverseStatus.interrupted, rounds)
    assert shown == list(range(rounds))
    found = run(1)
    assert (found.status, len(found.rounds), shown) == (InverseStatus.out_of_steps, 1, [0])


def test_free_and_clamped_differ_where_dynamics_are_random():
    """A free demonstrator is assumed to choose its outcomes: the same recordings give a different reward."""
    mdp = gamble()
    policy = infer(TabularModel(mdp), Optimism(0.0, initial=0.0)).policy.numpy()
    seen, found = recordings(mdp, policy, 300), {}
    for demonstrator in ("clamped", "free"):
        reward = Table(torch.zeros(2, 2))
        result = inverse_in_simulator(
            lambda: to_gymnasium(mdp),
            seen,
            reward,
            demonstrator,
            learner=SoftQLearning(lambda: to_gymnasium(mdp), discount=0.99, seed=0, learning_starts=10**6, **TABLE),
            num_rounds=60,
            steps_per_round=1,
            num_episodes=200,
            learning_rate=0.05,
            prior=3.0,
            seed=0,
        )
        found[demonstrator] = reward.values.detach()
        assert (result.rounds[-1].effective < 199) is (demonstrator == "free")
    assert (found["free"] - found["clamped"]).abs().max() > 0.2


def test_invalid_arguments_are_refused():
    env, reward = "CartPole-v1", torch.nn.Linear(10, 1)
    good = Recording(np.zeros((3, 4), np.float32), [0, 1], True)
    for given, settings, message in [
        ([], {}, "at least one"),
        ([Recording(np.zeros((2, 4)), [0, 1], True)], {}, "Recording 0 must have at least one action and one obs"),
        ([good, Recording(np.zeros((2, 4)), [5], True)], {}, r"Recording 1 must contain only actions of Discrete\(2\)"),
        ([good], {"num_rounds": 0}, "`num_rounds` must be"),
        ([good], {"learner": SAC(env, hidden=(4,))}, "fixed and positive temperature"),
        ([good], {"learner": SAC(env, hidden=(4,), temperature=0.0)}, "fixed and positive temperature"),
    ]:
        with pytest.raises(ValueError, match=message):
            inverse_in_simulator(env, given, reward, **settings)
    box = SoftQLearning("Pendulum-v1", hidden=(4,))
    with pytest.raises(ValueError, match="density for a free demonstrator"):
        inverse_in_simulator("Pendulum-v1", [good], reward, "free", learner=box, seed=0)


def test_episodes_are_cut_at_the_shortest_recording_that_was_stopped():
    env = gymnasium.make("Pendulum-v1")
    observation, _ = env.reset(seed=0)
    seen, done = [observation], []
    for _ in range(9):
        done.append(np.array([0.5], np.float32))
        seen.append(env.step(done[-1])[0])
    cut = [Recording(seen[: n + 1], done[:n], False) for n in (9, 6)]
    torch.manual_seed(0)
    found = inverse_in_simulator(
        "Pendulum-v1",
        cut,
        torch.nn.Linear(7, 1),
        learner=SAC("Pendulum-v1", temperature=1.0, hidden=(16,), seed=0),
        num_rounds=2,
        steps_per_round=10,
        num_episodes=2,
        seed=0,
    )
    assert len(found.rounds) == 2
