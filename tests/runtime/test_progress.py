"""What may be passed as progress and as callbacks."""

import pytest

from pgm_control import InvalidArgument, PrintEvery, Status, silent
from pgm_control.runtime.loop import Loop
from pgm_control.runtime.progress import require_progress


@pytest.mark.parametrize("progress", [True, None, 3, "bar", PrintEvery, lambda step: None, [silent]])
@pytest.mark.wrong_types
def test_what_is_no_function_of_step_and_metrics_is_refused(progress):
    with pytest.raises(InvalidArgument, match=r"^`progress` must be a function of the step and its metrics, such as "):
        require_progress(progress)


@pytest.mark.parametrize("progress", [silent, PrintEvery(3), print, lambda step, metrics: None, lambda *_: None])
def test_functions_of_step_and_metrics_are_taken(progress):
    require_progress(progress)


class Ending(Status):
    limit = "At the limit."


@pytest.mark.parametrize("callbacks", [print, [int], [3], None])
@pytest.mark.wrong_types
def test_callbacks_are_a_list_of_functions(callbacks):
    with pytest.raises(InvalidArgument, match=r"^`callbacks` must be a list of functions, but is "):
        Loop(Ending.limit, callbacks=callbacks)


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
@pytest.mark.wrong_types
def test_lines_are_printed_every_whole_number_of_steps(every):
    with pytest.raises(InvalidArgument, match=r"^`every` must be a whole number, at least 1"):
        PrintEvery(every)
