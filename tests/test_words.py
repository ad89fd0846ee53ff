"""The vocabulary of the library: standard terms in the code, the metaphor of dice only where it teaches."""

import re

from test_architecture import TEXTS

DIALECT = re.compile(r"\b(dice|die|faces?|met|told|heat|whoever|sober|likewise|for ever)\b", re.IGNORECASE)
METAPHORS = 40  # each on purpose: `explain` and the pages for people, which define what a die is


def test_the_code_uses_the_standard_terms():
    found = [
        f"{name}: {line.strip()}"
        for name, text in TEXTS.items()
        for line in text.splitlines()
        for _ in DIALECT.findall(line)
    ]
    assert len(found) <= METAPHORS, "\n".join(found)


def test_a_word_of_the_dialect_is_detected():
    assert DIALECT.findall("what the dice do; each Face; they meet, a method") == ["dice", "Face"]
