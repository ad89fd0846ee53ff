"""A module of the user on the command line: what it registers is learned, played and planned; no file imports it."""

import json
import shlex
import sys

import gymnasium
import pytest
from command_line import run

from pgm_control.cli.own_module import import_own
from pgm_control.errors import InvalidArgument

ICY = """
import gymnasium
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv

class Icy(FrozenLakeEnv):
    pass

gymnasium.register(id="tests/Icy-v0", entry_point=Icy, max_episode_steps=4)
"""
TINY = ["--option", "hidden=4", "--option", "batch_size=8", "--option", "learning_starts=10", "--seed", "0"]
TRAIN = ["train", "soft_q", "tests/Icy-v0", "--total-steps", 20, "--out", "run", "--evaluate-every", 0, *TINY]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "icy_of_a_test.py").write_text(ICY)
    yield tmp_path
    forget()


def forget():
    sys.modules.pop("icy_of_a_test", None)
    gymnasium.registry.pop("tests/Icy-v0", None)


def test_it_is_trained_and_its_commands_name_the_module(capsys, folder):
    before = list(sys.path)
    own = ["--import", "icy_of_a_test"]
    status, out, err = run(
        capsys,
        "train",
        "soft_q",
        "tests/Icy-v0",
        "--total-steps",
        20,
        "--out",
        "run",
        *TINY,
        "--evaluate-every",
        0,
        *own,
    )
    assert (status, sys.path) == (0, before), err
    assert out.splitlines()[-1] == "  pgm-control play run --import icy_of_a_test"
    facts = json.loads((folder / "run" / "run.json").read_text())
    assert shlex.split(facts["command"])[-2:] == own
    forget()
    status, out, err = run(capsys, "play", "run", "--num-episodes", 2, *own)
    assert status == 0, err
    assert "pgm-control train --resume run --import icy_of_a_test" in out
    forget()
    status, _, err = run(capsys, "train", "--resume", "run", "--total-steps", 30, *own)
    assert status == 0, err


def test_a_folder_does_not_choose_what_is_imported(capsys, folder):
    run(capsys, *TRAIN, "--import", "icy_of_a_test")
    forget()
    for command in (["play", "run"], ["train", "--resume", "run"]):
        status, _, err = run(capsys, *command)
        assert status == 2
        assert "tests/Icy-v0" in err
        assert "icy_of_a_test" not in sys.modules


def test_it_is_planned_in(capsys):
    status, out, err = run(
        capsys, "plan", "tests/Icy-v0", "--planner", "receding", "--num-episodes", 1, "--seed", 0, "--out", "walks",
        "--import", "icy_of_a_test",
    )  # fmt: skip
    assert status == 0, err
    assert "--import icy_of_a_test --out walks-free" in out


@pytest.mark.parametrize("name", ["no_such_module_at_all", "icy.py", "", "broken_of_a_test"])
def test_what_cannot_be_imported_is_an_error_by_name(name, folder, capsys):
    (folder / "broken_of_a_test.py").write_text("1 / 0\n")
    with pytest.raises(InvalidArgument, match="`import_` must"):
        import_own(name)
    status, _, err = run(capsys, "play", folder, "--import", name)
    assert status == 2
    assert "--import must" in err
