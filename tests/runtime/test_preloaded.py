"""The process that begins the programs of other tests: what is printed, the status, and that nothing is left behind."""

import subprocess

import pytest


@pytest.fixture
def program(preloaded, tmp_path):
    def run(text, *words):
        (tmp_path / "program.py").write_text(text)
        command = [preloaded / "python", "program.py", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def test_a_program_gets_its_words_and_its_folder(program, tmp_path):
    done = program("import os, sys\nprint(sys.argv, os.getcwd())\nprint('so', file=sys.stderr)", "one", "two words")
    assert done.stdout == f"['program.py', 'one', 'two words'] {tmp_path}\n"
    assert (done.returncode, done.stderr) == (0, "so\n")


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("import sys; sys.exit()", 0, ""),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("import warnings; warnings.warn('old')", 1, "UserWarning: old"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9 % 256, ""),
    ],
)
def test_how_a_program_ends_is_known(program, text, status, said):
    done = program(text)
    assert done.returncode == status
    assert said in done.stderr


def test_a_program_finds_nothing_of_the_one_before(program):
    program("import pyro, torch\npyro.param('left', torch.zeros(1))\nimport os; os.environ['LEFT'] = '1'")
    done = program("import os, pyro\nprint(len(pyro.get_param_store()), 'LEFT' in os.environ)")
    assert done.stdout == "0 False\n"


def test_a_command_finds_the_installed_library(preloaded, tmp_path):
    done = subprocess.run([preloaded / "pgm-control", "zoo"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "restaurant" in done.stdout
    wrong = subprocess.run([preloaded / "pgm-control", "zo"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
