"""The file of results: any result comes back, and a cut file loses its last line only."""

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from pgm_control.sweeps.store import Store

texts = st.text(max_size=5)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | texts,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(texts, each, max_size=3),
    max_leaves=5,
)
results = st.dictionaries(texts, values, max_size=4)


def exactly(value):
    """The value with its types and bits: nan equals nan, 0.0 is not −0.0, and 1 is neither 1.0 nor True."""
    return repr(value)


@given(st.lists(results, min_size=1, max_size=5), st.data())
def test_a_cut_file_loses_its_last_line_only(tmp_path_factory, content, data):
    file = Store(tmp_path_factory.mktemp("cut") / "results.jsonl")
    ends = [0]
    for n, result in enumerate(content):
        file.append({"key": str(n), "setting": {"x": n}, "result": result})
        ends.append(file.path.stat().st_size)
    expected = {str(n): result for n, result in enumerate(content)}
    assert exactly(file.results()) == exactly(expected)
    cut = data.draw(st.integers(0, ends[-1]))
    file.path.write_bytes(file.path.read_bytes()[:cut])
    whole = sum(end <= cut for end in ends) - 1
    kept = {str(n): result for n, result in enumerate(content[:whole])}
    assert exactly(file.results()) == exactly(kept)
    file.mend()
    assert file.path.stat().st_size == ends[whole]
    file.append({"key": "new", "result": content[0]})
    assert exactly(file.results()) == exactly({**kept, "new": content[0]})


def test_the_first_result_of_a_key_counts_and_failures_do_not(tmp_path):
    file = Store(tmp_path / "results.jsonl")
    file.append({"key": "a", "failure": "ValueError: no"})
    file.append({"key": "a", "result": {"value": 1}})
    file.append({"key": "a", "result": {"value": 2}})
    file.append({"key": "a", "failure": "ValueError: no"})
    file.append({"key": "b", "failure": "ValueError: no"})
    assert file.results() == {"a": {"value": 1}}
    assert file.results(lambda found: found["value"] == 2) == {"a": {"value": 2}}


def test_lines_that_are_not_results_are_left_out_and_kept(tmp_path):
    file = Store(tmp_path / "results.jsonl")
    file.append({"key": "a", "result": {"value": math.inf}})
    junk = [b"{}", b"not json", b"[1, 2]", b'{"key": [1], "result": {}}', b'{"key": "b", "result": 3}', b"\xff", b"3"]
    with file.path.open("ab") as opened:
        opened.write(b"\n".join([*junk, b"[" * 100_000, b"9" * 5000, b""]) + b"\n")
    file.append({"key": "c", "result": {}})
    assert file.results() == {"a": {"value": math.inf}, "c": {}}
    before = file.path.read_bytes()
    file.mend()
    assert file.path.read_bytes() == before


def test_a_long_line_without_an_end_is_cut_off(tmp_path):
    file = Store(tmp_path / "results.jsonl")
    file.append({"key": "a", "result": {"value": 1}})
    size = file.path.stat().st_size
    with file.path.open("ab") as opened:
        opened.write(b'{"key": "b", "result": {"value": "' + b"x" * 300_000)
    file.mend()
    assert file.path.stat().st_size == size
    file.path.write_bytes(b"x" * 300_000)
    file.mend()
    assert file.path.stat().st_size == 0


def test_lines_are_those_of_pythons_json(tmp_path):
    file = Store(tmp_path / "results.jsonl")
    file.append({"key": "a", "result": {"value": math.nan, "low": -math.inf, "word": "é\n"}})
    assert file.path.read_bytes().count(b"\n") == 1
    assert b"NaN" in file.path.read_bytes()
    assert exactly(json.loads(file.path.read_bytes())["result"]) == exactly(
        {"value": math.nan, "low": -math.inf, "word": "é\n"}
    )
