"""On which line of a TOML document each key stands."""

import json
import string
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demur.gateway.config.lines import Lines

DOCUMENT = '''\
version = 1 # [not.a.table]
[gateway]
listen = "a#b]\\"x"
since = 1979-05-27 07:32:00
tls = { certificate = "a", key = "b" }
x.y = """
[[site]] = {
"""
z = \'\'\'
["\'\'\'
[[site]]
origin = "x"
cors.origins = [
  "a", # c, d = [
  { b = 3 },
]
[[site.rule]]
path = 'x = ['
[[site.rule]]
"path" = 'y'
[ site . permissions ]
"report:read" = ["staff"]
[[site]]
origin=1.5
[[site.rule]]
path=1'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("version",), 1),
        (("gateway",), 2),
        (("gateway", "listen"), 3),
        (("gateway", "since"), 4),
        (("gateway", "tls", "key"), 5),
        (("gateway", "x", "y"), 6),
        (("gateway", "z"), 9),
        (("site",), 11),
        (("site", 0), 11),
        (("site", 0, "origin"), 12),
        (("site", 0, "cors", "origins", 0), 14),
        (("site", 0, "cors", "origins", 1, "b"), 15),
        (("site", 0, "rule", 0, "path"), 18),
        (("site", 0, "rule", 1), 19),
        (("site", 0, "rule", 1, "path"), 20),
        (("site", 0, "permissions", "report:read"), 22),
        (("site", 1, "origin"), 24),
        (("site", 1, "rule", 0, "path"), 26),
        # what is not there is where it would be: at what is around it
        (("gateway", "tls", "chain"), 5),
        (("site", 1, "upstream"), 23),
        (("nothing",), 1),
    ],
)
def test_each_key_has_its_line(path, line):
    """A key is found wherever TOML lets it stand, and strings that look like TOML are none."""
    tomllib.loads(DOCUMENT)
    assert Lines(DOCUMENT).of(path) == line


KEYS = st.one_of(st.text(string.ascii_lowercase, min_size=1, max_size=3), st.text("a.[]#=\" '", min_size=1, max_size=3))
VALUES = st.recursive(
    st.one_of(
        st.integers(),
        st.booleans(),
        st.text(" []{}#=\n'\"\\,.a", max_size=6),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)


def toml(value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[\n" + "".join(f"{toml(inner)}, # ]\n" for inner in value) + "]"
    return json.dumps(value)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_what_stands_before_a_key_does_not_move_it(document):
    """Whatever values are written above, the lines of the keys are those on which they were written."""
    text, lines = "", {}
    for key, value in document.items():
        lines[key] = text.count("\n") + 1
        text += f"{json.dumps(key)} = {toml(value)}\n"
    assert tomllib.loads(text) == document
    found = Lines(text)
    for key, line in lines.items():
        assert found.of((key,)) == line
