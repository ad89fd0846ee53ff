"""Tests of tables of choices: every wrong table ends in an error that names column, row and remedy."""

import math

import numpy as np
import pytest
from behaviour.designs import lottery, menu

from pgm_control import InvalidArgument
from pgm_control.behaviour import Choices, PeoplePrior, behaviour_log_likelihood, fit_people, simulate_people

MODELS = {"small": lottery(0.5, 4.0, 2.0), "menu": menu(3.0, 1.0, 2.0, 0.5)}
ROWS = [
    ("ann", 1, "small", "choosing", "gamble"),
    ("ann", 2, "menu", "entrance", 1),
    ("ann", 2, "menu", "menu", 0),
    ("bob", 1, "small", 0, 1),
    ("bob", 2, "small", "choosing", "safe"),
]


def table(*changes, rows=ROWS):
    """The rows as columns, with (row, column, entry) changed."""
    names = ("person", "trial", "problem", "state", "action")
    made = [dict(zip(names, row, strict=True)) for row in rows]
    for row, column, entry in changes:
        made[row][column] = entry
    return {name: [row[name] for row in made] for name in names}


def likelihood(columns):
    return behaviour_log_likelihood(MODELS, Choices.from_table(columns), 0.1, 1.0)


def test_names_and_indices_are_the_same():
    other = table((0, "state", 0), (0, "action", np.int64(0)), (1, "state", 0.0), (3, "state", "choosing"))
    assert likelihood(table()).tolist() == likelihood(other).tolist()


def test_a_file_and_a_frame_hold_the_same_choices(tmp_path):
    data = Choices.from_table(table())
    data.to_csv(tmp_path / "choices.csv")
    assert Choices.from_csv(tmp_path / "choices.csv").columns == data.columns
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({**table(), "age": [30] * 5})
    assert Choices.from_table(frame).columns == data.columns
    assert data.people == ("ann", "bob")
    assert repr(data) == "Choices(5 choices, 2 people, 2 problems)"


WRONG = {
    "no column": (lambda: {k: v for k, v in table().items() if k != "trial"}, r"no column 'trial'.*Rename one, or add"),
    "nan": (lambda: table((2, "action", math.nan)), r"`action` must have an entry in every row, but has nan in row 3"),
    "None": (lambda: table((0, "person", None)), r"`person` .* has None in row 1. Leave out trials"),
    "empty text": (lambda: table((4, "state", " ")), r"`state` .* in row 5"),
    "no row": (lambda: table(rows=[]), r"`person` must have at least one row"),
    "lengths": (lambda: {**table(), "state": [0]}, r"`state` must have as many rows as `person`, 5, but has 1"),
    "problem": (lambda: table((3, "problem", "big")), r"'problem' has 'big' in row 4. The models are 'small', 'menu'"),
    "state": (lambda: table((0, "state", "nowhere")), r"'state' has 'nowhere' in row 1.*'choosing', 'over'.*0 to 1"),
    "number of a state": (lambda: table((3, "state", 2)), r"column 'state' has '2' in row 4"),
    "action": (lambda: table((4, "action", "both")), r"column 'action' has 'both' in row 5"),
    "start": (lambda: table((1, "state", "menu")), r"column 'state' has 'menu' in row 2, step 1 .* does not start"),
    "step": (lambda: table((2, "state", "entrance")), r"'entrance' in row 3, step 2 .* does not lead"),
    "steps": (lambda: table((4, "trial", 1)), r"at most 1 rows in a trial .* row 5, step 2 of trial '1'"),
    "two problems": (lambda: table((2, "problem", "small"), (2, "state", 0)), r"'small' in row 3.*after 'menu'"),
    "forbidden": (lambda: table((1, "action", 3)), r"'action' has '3' in row 2.*forbids in state 'entrance'"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_tables_end_in_errors_that_name_the_row(name):
    make, message = WRONG[name]
    with pytest.raises(InvalidArgument, match=f"(?s){message}"):
        likelihood(make())


def test_files_that_are_no_tables_are_refused(tmp_path):
    path = tmp_path / "choices.csv"
    for text, message in (
        ("", "no column 'person'"),
        ("person,trial,problem,state,action\n", "at least one row"),
        ("person,trial,problem,state,action\na,1,x,0\n", "5 entries in each row.*row 1 has 4"),
        ("person,trial,problem,state,action\na,1,x,0,NA\n", "`action` .* 'NA' in row 1"),
    ):
        path.write_text(text, encoding="utf8")
        with pytest.raises(InvalidArgument, match=message):
            Choices.from_csv(path)
    with pytest.raises(InvalidArgument, match="cannot be read"):
        Choices.from_csv(tmp_path / "missing.csv")


@pytest.mark.wrong_types
def test_other_data_are_refused():
    for wrong in (None, "choices.csv", table()):
        with pytest.raises(InvalidArgument, match=r"`data` must be Choices.*from_csv"):
            behaviour_log_likelihood(MODELS, wrong, 0.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "`temperature` must be positive"),
        ({"temperature": [1.0, 2.0, 3.0]}, "`temperature` must be one number, or one for each of 2 people"),
        ({"optimism": math.inf}, "`optimism` must hold finite"),
        ({"lapse": 1.5}, "`lapse` must hold probabilities"),
        ({"hard": True}, "`optimism` must be 0 if `hard`"),
        ({"weights": [1.0]}, "`weights` must hold one number for each of `features`, but `features` has none"),
        ({"features": {"w": {"big": 1.0}}, "weights": [1.0]}, "names 'big'"),
        ({"features": {"w": {"small": [1.0, 2.0, 3.0]}}, "weights": [1.0]}, "must broadcast against"),
        ({"features": {"w": {"small": 1.0}}}, "`weights` must hold .* but none is given"),
    ],
)
def test_wrong_parameters_are_refused(arguments, message):
    given = {"optimism": 0.1, "temperature": 1.0, **arguments}
    with pytest.raises(InvalidArgument, match=message):
        behaviour_log_likelihood(MODELS, Choices.from_table(table()), **given)


def test_a_hierarchy_needs_people_and_trials():
    prior = PeoplePrior(temperature=1.0, risk=0.3)
    one = simulate_people(MODELS, 0.0, 1.0, num_people=1, seed=0)
    with pytest.raises(InvalidArgument, match=r"`data` must hold at least two people.*column 'person' has only '1'"):
        fit_people(MODELS, one, prior)
    single = simulate_people({"small": MODELS["small"]}, 0.0, 1.0, num_people=5, seed=0)
    with pytest.raises(InvalidArgument, match=r"at least two choices of some person.*Add trials"):
        fit_people(MODELS, single, prior)
