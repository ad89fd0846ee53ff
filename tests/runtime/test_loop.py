"""The loop of iterative methods: every way to end, the order of calls, Ctrl-C, resuming and saving."""

import signal

import pytest

from pgm_control import Status
from pgm_control.runtime.loop import Loop, passes


class Ending(Status):
    """How a loop of these tests ended."""

    converged = "It converged."
    out_of_steps = "It ran out of steps."
    stopped = "It was stopped."
    interrupted = "It was interrupted."
    not_finite = "It broke."


def run(limit=5, converges_at=None, breaks_at=None, during=lambda step: None, **settings):
    """Run a loop up to `limit` steps; return it and the numbers of the steps that were made."""
    made = []
    with Loop(Ending.out_of_steps, limit=limit, **settings) as loop:
        for step in loop:
            during(step)
            if step == breaks_at:
                loop.end(Ending.not_finite)
                break
            made.append(step)
            loop.report({"number": float(step)}, step, Ending.converged if step == converges_at else None)
    assert loop.over
    return loop, made


def press_at(number, times=1):
    """A function that presses Ctrl-C after a step, for use as a callback or as progress."""

    def press(step, metrics=None):
        if step == number:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    return press


def test_the_loop_ends_at_the_limit():
    loop, made = run(5)
    assert (loop.status, loop.steps, made) == (Ending.out_of_steps, 5, [1, 2, 3, 4, 5])


def test_the_loop_ends_when_the_method_ends_it():
    loop, made = run(5, converges_at=3)
    assert (loop.status, loop.steps, made) == (Ending.converged, 3, [1, 2, 3])


def test_a_failed_step_does_not_count():
    seen = []
    loop, made = run(5, breaks_at=3, callbacks=[seen.append])
    assert (loop.status, loop.steps, made, seen) == (Ending.not_finite, 2, [1, 2], [1, 2])


def test_a_loop_without_a_limit_continues_until_the_method_ends_it():
    loop, made = run(None, converges_at=1000)
    assert (loop.status, len(made)) == (Ending.converged, 1000)


def test_a_callback_stops_the_loop_and_the_others_are_still_called():
    seen = []
    loop, made = run(5, callbacks=[lambda step: step == 3, seen.append])
    assert (loop.status, loop.steps, made, seen) == (Ending.stopped, 3, [1, 2, 3], [1, 2, 3])


@pytest.mark.parametrize("answer", [None, False, "yes"])
def test_only_true_stops_the_loop(answer):
    assert run(3, callbacks=[lambda step: answer])[0].status is Ending.out_of_steps


def test_callbacks_are_not_called_with_none():
    seen = []
    with Loop(Ending.out_of_steps, limit=4, callbacks=[seen.append]) as loop:
        for step in loop:
            loop.report({}, step if step % 2 else None)
    assert seen == [1, 3]


@pytest.mark.parametrize("settings", [{"during": press_at(2)}, {"progress": press_at(2)}, {"callbacks": [press_at(2)]}])
def test_ctrl_c_ends_the_loop_after_the_current_step(settings):
    before = signal.getsignal(signal.SIGINT)
    loop, made = run(5, **settings)
    assert (loop.status, loop.steps, made) == (Ending.interrupted, 2, [1, 2])
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_interrupts_at_once():
    before, seen = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt):
        run(5, during=press_at(3, times=2), callbacks=[seen.append])
    assert seen == [1, 2]
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_in_a_nested_loop_ends_both_loops():
    inner = []

    def during(step):
        loop, _ = run(4, during=press_at(2) if step == 3 else lambda step: None)
        inner.append((loop.status, loop.steps))

    loop, made = run(5, during=during)
    assert inner == [(Ending.out_of_steps, 4), (Ending.out_of_steps, 4), (Ending.interrupted, 2)]
    assert (loop.status, made) == (Ending.interrupted, [1, 2, 3])


def test_an_error_in_a_step_restores_ctrl_c():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError):
        run(5, during=lambda step: 1 / (step - 3))
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"callbacks": [lambda step: step == 2], "converges_at": 2, "limit": 2}, Ending.stopped),
        ({"progress": press_at(2), "callbacks": [lambda step: step == 2]}, Ending.stopped),
        ({"progress": press_at(2), "converges_at": 2, "limit": 2}, Ending.converged),
        ({"progress": press_at(2), "limit": 2}, Ending.interrupted),
    ],
)
def test_endings_at_one_step_have_an_order(settings, expected):
    """The order is: a callback, the method, Ctrl-C, the limit."""
    loop, made = run(**settings)
    assert (loop.status, made) == (expected, [1, 2])


def test_a_resumed_loop_continues_the_count():
    loop, made = run(5, begin=3, seconds=1000.0)
    assert (loop.status, loop.steps, made) == (Ending.out_of_steps, 5, [4, 5])
    assert loop.seconds > 1000.0


@pytest.mark.parametrize("begin", [5, 6])
def test_a_loop_that_begins_at_its_limit_makes_no_step(begin):
    seen = []
    loop, made = run(5, begin=begin, callbacks=[seen.append], save=lambda: seen.append("saved"))
    assert (loop.status, loop.steps, made, seen) == (Ending.out_of_steps, begin, [], [])


def test_the_first_step_may_be_numbered_0():
    shown = []
    loop, made = run(2, begin=-1, progress=lambda step, metrics: shown.append(step))
    assert (loop.status, loop.steps, made, shown) == (Ending.out_of_steps, 2, [0, 1, 2], [0, 1, 2])


def test_a_step_may_count_for_several():
    shown, total = [], 0
    with Loop(Ending.out_of_steps, limit=10, progress=lambda step, metrics: shown.append(step)) as loop:
        for _ in loop:
            total += 4
            loop.report({}, steps=total)
    assert (loop.status, loop.steps, shown) == (Ending.out_of_steps, 12, [4, 8, 12])


def test_a_loop_that_is_not_exhausted_stays_open():
    with Loop(Ending.out_of_steps, limit=10) as loop:
        for _, _ in zip(loop, "abc", strict=False):
            loop.report({})
        assert not loop.over
        loop.end(Ending.converged)
    assert (loop.status, loop.steps) == (Ending.converged, 3)


def test_time_that_does_not_count_can_be_excluded(monkeypatch):
    now = 50.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    with Loop(Ending.out_of_steps, limit=3, seconds=7.0) as loop:
        for _ in loop:
            now += 1.0
            seconds = loop.seconds
            now += 100.0
            loop.seconds = seconds
            loop.report({})
    assert loop.seconds == 10.0


def test_the_order_of_calls():
    calls = []
    run(
        5,
        during=lambda step: calls.append(("step", step)),
        progress=lambda step, metrics: calls.append(("progress", step, dict(metrics))),
        callbacks=[lambda step: calls.append(("callback", step))],
        save=lambda: calls.append("save"),
        save_every=2,
    )
    expected = []
    for step in range(1, 6):
        expected += [("step", step), ("progress", step, {"number": float(step)}), ("callback", step)]
        expected += ["save"] * (step in (2, 4))
    assert calls == expected


@pytest.mark.parametrize(
    ("settings", "saved"),
    [
        ({"save_every": 1}, [1, 2, 3, 4]),  # after the last step the caller saves its own result
        ({"save_every": 5}, []),
        ({"save_every": 3, "begin": 2}, [3]),
        ({"save_every": 3, "begin": 3}, []),
        ({"save_every": 2, "converges_at": 4}, [2]),
        ({"save_every": 2, "breaks_at": 5}, [2, 4]),
        ({"save_every": 2, "progress": press_at(4)}, [2]),
        ({"save_every": 2, "callbacks": [lambda step: step == 4]}, [2]),
    ],
)
def test_the_loop_saves_between_steps(settings, saved):
    steps, found = [], []
    run(5, during=steps.append, save=lambda: found.append(steps[-1]), **settings)
    assert found == saved


def test_the_loop_saves_whenever_a_multiple_was_passed():
    saved, total = [], 0
    with Loop(Ending.out_of_steps, limit=20, save=lambda: saved.append(total), save_every=5) as loop:
        for _ in loop:
            total += 4
            loop.report({}, steps=total)
    assert saved == [8, 12, 16]
    assert [now for now in range(1, 8) if passes(now - 1, now, 3)] == [3, 6]
