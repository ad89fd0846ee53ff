"""The command line in a test: its status and what it prints, and Ctrl-C in the middle of a run."""

import contextlib
import signal

from pgm_control.cli import main as cli


def run(capsys, *args):
    """The exit status of a command, and what it printed on standard output and standard error."""
    status = cli.main([str(each) for each in args])
    said = capsys.readouterr()
    return status, said.out, said.err


def pressing(*at):
    """A progress bar that presses Ctrl-C when as much is done, once for each number, twice if one is repeated."""

    @contextlib.contextmanager
    def bar_over(total, label):
        def press(step, metrics):
            for each in at:
                if step == each:
                    signal.raise_signal(signal.SIGINT)

        yield press

    return bar_over
