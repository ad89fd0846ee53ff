"""Ready-made callbacks: what they do, when they are called, and that learning is the same with and without them."""

import copy
from types import SimpleNamespace
from typing import Any

import gymnasium
import pytest
import torch
from small_environments import Counting, Noisy, equal, whole

from pgm_control import InvalidArgument, LearningDiverged
from pgm_control.learners import (
    SAC,
    CheckpointEvery,
    EvaluateEvery,
    EvaluationPoint,
    KeepBest,
    LearningStatus,
    MaxEntPolicyGradient,
    SoftQLearning,
    StopAtReturn,
)

TINY = {"hidden": (4,), "batch_size": 4, "capacity": 200, "learning_starts": 5, "seed": 0}


def made(kind=SAC, env=Noisy, **given):
    return kind(env, **{**TINY, **given})


def limited():
    return gymnasium.wrappers.TimeLimit(Noisy(), 7)


def judged(*means):
    """A callback that adds evaluations with these means, one every ten steps."""
    left = list(means)

    def judge(step):
        step.learner.journal.evaluations.append(EvaluationPoint(step.step, step.seconds, left.pop(0), 0.1, 1.0))

    return Every(10, judge)


class Every:
    """A function as a callback with times of its own."""

    def __init__(self, every, function):
        self.every, self._function = every, function

    def __call__(self, step):
        return self._function(step)


@pytest.mark.parametrize("kind", [SAC, SoftQLearning])
@pytest.mark.parametrize("normalise", [False, True])
def test_learning_is_the_same_with_and_without_them(kind, normalise, tmp_path):
    """All tensors, the random state and the log; only the evaluations differ."""
    plain, watched = (made(kind, num_envs=2, normalise_observations=normalise) for _ in range(2))
    plain.learn(90, log_every=20)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    callbacks = [
        EvaluateEvery(14, 3, env=limited),
        KeepBest(tmp_path / "best"),
        StopAtReturn(1e9),
        CheckpointEvery(30, tmp_path / "files"),
    ]
    watched.learn(90, log_every=20, callbacks=callbacks)
    assert torch.equal(before, torch.get_rng_state())
    (tensors, facts), (others, other_facts) = whole(plain, tmp_path / "a"), whole(watched, tmp_path / "b")
    assert equal(tensors, others)
    assert facts["log"] == other_facts["log"]
    assert [each["step"] for each in other_facts["evaluations"]] == [14, 28, 42, 56, 70, 84]


def test_the_policy_gradient_is_the_same_too(tmp_path):
    plain, watched = (MaxEntPolicyGradient(limited, hidden=(4,), num_envs=2, seed=0) for _ in range(2))
    plain.learn(60)
    watched.learn(60, callbacks=[EvaluateEvery(20, 2, env=limited)])
    assert equal(whole(plain, tmp_path / "a")[0], whole(watched, tmp_path / "b")[0])
    assert watched.evaluations


def test_an_evaluation_is_that_of_evaluate_with_its_seed():
    learner = made()
    learner.learn(40, callbacks=[EvaluateEvery(40, 4, env=limited, seed=9, deterministic=False)])
    (point,) = learner.evaluations
    found = learner.evaluate(4, 9, False, limited())
    assert (point.step, point.mean, point.standard_error) == (40, found.mean, found.standard_error)
    assert point.length == found.lengths.mean()


def test_by_default_it_evaluates_as_learn_does():
    one, two = (SAC("Pendulum-v1", **TINY) for _ in range(2))
    one.learn(20, evaluate_every=20, num_evaluation_episodes=1)
    two.learn(20, callbacks=[EvaluateEvery(20, 1)])
    assert one.evaluations[0].mean == two.evaluations[0].mean
    with pytest.raises(InvalidArgument, match="`env` must be given"):
        made().learn(20, callbacks=[EvaluateEvery(10)])


def test_each_is_called_at_its_own_times():
    seen = {"rows": [], "own": []}

    def rows(step):
        seen["rows"].append(step.step)

    own = Every(8, lambda step: seen["own"].append(step.step))
    learner = made(num_envs=3)
    learner.learn(60, log_every=20, callbacks=[rows, own])
    assert seen["rows"] == [21, 42, 60]
    assert seen["own"] == [9, 18, 24, 33, 42, 48, 57]
    learner.learn(90, log_every=20, callbacks=[own])
    assert seen["own"][7:] == [66, 72, 81, 90]


def test_it_stops_at_the_return_of_evaluations():
    """Twice in a row: 5, 1, 5, 6 is enough at the fourth."""
    learner = made()
    found = learner.learn(100, log_every=1000, callbacks=[judged(5.0, 1.0, 5.0, 6.0, 7.0), StopAtReturn(5.0, times=2)])
    assert (found.status, found.total_steps) == (LearningStatus.stopped, 40)
    again = learner.learn(70, callbacks=[judged(1.0, 1.0, 1.0), StopAtReturn(5.0, times=2)])
    assert again.status is LearningStatus.complete  # old evaluations do not stop it


def test_it_stops_at_the_return_of_training_once_there_are_100_episodes():
    """Episodes of one step with the reward of a normal: the mean is above −10 at once, but counts from 100 on."""
    learner = made(env=lambda: Counting(limit=1))
    found = learner.learn(300, log_every=7, callbacks=[StopAtReturn(-10.0, of="training")])
    assert found.total_steps == 105
    assert (
        made(env=lambda: Counting(limit=1)).learn(130, callbacks=[StopAtReturn(9.0, of="training")]).total_steps == 130
    )


def test_the_best_is_kept_also_by_a_resumed_run(tmp_path):
    learner = made()
    means = (1.0, 3.0, 2.0, 3.0)
    learner.learn(40, callbacks=[judged(*means), KeepBest(tmp_path / "best")], checkpoint=tmp_path / "last")
    best = SAC.load(tmp_path / "best", env=Noisy)
    assert best.total_steps == 20
    assert [each.mean for each in best.evaluations] == [1.0, 3.0]
    again = SAC.load(tmp_path / "last", env=Noisy)
    again.learn(60, callbacks=[judged(2.5, 2.9), KeepBest(tmp_path / "best")])
    assert SAC.load(tmp_path / "best", env=Noisy).total_steps == 20
    again.learn(70, callbacks=[judged(3.1), KeepBest(tmp_path / "best")])
    assert SAC.load(tmp_path / "best", env=Noisy).total_steps == 70


def test_a_numbered_checkpoint_continues_bit_for_bit(tmp_path):
    once = made()
    once.learn(60, callbacks=[CheckpointEvery(20, tmp_path, newest=2)])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["step_000000040.pt", "step_000000060.pt"]
    again = SAC.load(tmp_path / "step_000000040.pt", env=Noisy)
    again.learn(60)
    assert equal(whole(once, tmp_path / "a")[0], whole(again, tmp_path / "b")[0])


def test_a_learner_that_diverged_does_not_replace_the_best(tmp_path):
    learner = made()
    learner.learn(20, callbacks=[judged(1.0, 0.0), KeepBest(tmp_path / "best")])
    before = (tmp_path / "best").read_bytes()
    with torch.no_grad():
        learner.critics.flat[0] = torch.nan
    learner.journal.evaluations.append(EvaluationPoint(20, 0.0, 9.0, 0.1, 1.0))
    step = copy.copy(SimpleNamespace(step=20, seconds=0.0, learner=learner, metrics={}))
    for each in (KeepBest(tmp_path / "best"), CheckpointEvery(10, tmp_path / "files")):
        with pytest.raises(LearningDiverged, match="not finite after 20 steps"):
            each(step)  # pyright: ignore[reportArgumentType]
    assert (tmp_path / "best").read_bytes() == before


def test_the_time_of_callbacks_does_not_count(monkeypatch):
    """By a clock that only callbacks move."""
    now = [0.0]
    monkeypatch.setattr("pgm_control.runtime.loop.time", SimpleNamespace(perf_counter=lambda: now[0]))

    def slow(step):
        now[0] += 100.0

    learner = made()
    assert learner.learn(30, log_every=10, callbacks=[slow]).seconds == 0
    assert now[0] == 300


@pytest.mark.parametrize("every", [0, -1, 1.5, "100", None, True])
def test_a_callback_whose_period_is_none_is_refused_by_name(every):
    with pytest.raises(InvalidArgument, match=r"`every` must be a whole number, at least 1.*one of `callbacks`"):
        made().learn(10, callbacks=[Every(every, lambda step: None)])


def test_an_evaluation_that_comes_too_late_or_never_is_refused_before_learning(tmp_path):
    best, stop = KeepBest(tmp_path / "best"), StopAtReturn(1.0)
    learner = SAC("CartPole-v1", **TINY)
    for callbacks, words in (
        ([best, EvaluateEvery(10, 1)], "the evaluation before KeepBest"),
        ([StopAtReturn(1.0, of="training"), stop, EvaluateEvery(10, 1), best], "the evaluation before StopAtReturn"),
        ([stop, CheckpointEvery(10, tmp_path)], "an evaluation before StopAtReturn.*has none"),
    ):
        with pytest.raises(InvalidArgument, match=rf"`callbacks` must have {words}"):
            learner.learn(20, callbacks=callbacks)
    assert learner.total_steps == 0
    learner.learn(20, callbacks=[best], evaluate_every=20, num_evaluation_episodes=1)
    assert (tmp_path / "best").exists()
    learner.learn(30, callbacks=[lambda step: None, best])  # the function may evaluate
    learner.learn(40, callbacks=[EvaluateEvery(10, 1), best, EvaluateEvery(10, 1)])
    learner.learn(50, callbacks=[StopAtReturn(1.0, of="training")])


def test_the_environment_of_learning_is_not_that_of_evaluations():
    """An evaluation in it would end its episode."""
    env = Noisy()
    learner = made(env=env)
    with pytest.raises(InvalidArgument, match="`env` must not be the environment in which the learner learns"):
        learner.learn(20, callbacks=[EvaluateEvery(10, 1, env=env)])
    vector = gymnasium.vector.SyncVectorEnv([limited])
    with pytest.raises(InvalidArgument, match="`env` must not be the environment in which the learner learns"):
        made(env=vector).learn(20, callbacks=[EvaluateEvery(10, 1, env=vector)])
    other = made(env=env)
    other.learn(20, callbacks=[EvaluateEvery(10, 1, env=limited())])
    assert len(other.evaluations) == 2


def test_errors_of_evaluations_and_folders_have_names(tmp_path):
    make: Any = SimpleNamespace  # makes no environment
    with pytest.raises(InvalidArgument, match=r"`env` must be, or make, a gymnasium\.Env, but is a SimpleNamespace"):
        made().learn(20, callbacks=[EvaluateEvery(10, 1, env=make)])
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgument, match="must be the path of a file that can be written"):
        made().learn(20, callbacks=[CheckpointEvery(10, tmp_path / "file" / "folder")])


def test_errors_name_the_argument(tmp_path):
    (tmp_path / "file").write_text("")
    for make, words in (
        (lambda: EvaluateEvery(0), "`every` must be a whole number, at least 1"),
        (lambda: EvaluateEvery(5, 0), "`num_episodes` must be a whole number"),
        (lambda: EvaluateEvery(5, seed=-1), "`seed` must be a whole number, at least 0"),
        (lambda: StopAtReturn(float("nan")), "`least` must be a finite return"),
        (lambda: StopAtReturn(1.0, of="both"), "`of` must be one of evaluation, training"),  # pyright: ignore[reportArgumentType]
        (lambda: StopAtReturn(1.0, times=0), "`times` must be a whole number"),
        (lambda: KeepBest(tmp_path), "`path` must be the path of a file"),
        (lambda: CheckpointEvery(5, tmp_path / "file"), "`folder` must be the path of a folder"),
        (lambda: CheckpointEvery(5, tmp_path, newest=0), "`newest` must be a whole number"),
    ):
        with pytest.raises(InvalidArgument, match=words):
            make()
