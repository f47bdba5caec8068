"""People out of other programs' files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demur.accounts import importing
from demur.accounts.importing import Problem
from demur.accounts.people import New
from demur.authenticators.encoded import canonical

if TYPE_CHECKING:
    from demur.accounts.people import Accounts

BCRYPT = "$2y$10$BgHG1QA0g/xkzMBiAOzWQeXF1pDXPHV643KcVo9D4q9exPWBtCSRC"
ARGON2 = "$argon2id$v=19$m=65536,t=4,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"
DJANGO = "pbkdf2_sha256$600000$salt$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (f"name,password_hash\nalice,{BCRYPT}\n", [(2, New("alice", encoded=BCRYPT))]),
        (
            # as a spreadsheet writes it: with a mark of the byte order, quotes, and \r\n
            "\ufeffName,Groups,Password_Hash,Email,Display_Name\r\n"  # noqa: ISC004
            f'"Alice","staff; admins",{DJANGO},a@example.com,"Smith, Alice"\r\n\r\nbob,,{BCRYPT},,\r\n',
            [
                (2, New("Alice", frozenset({"staff", "admins"}), "Smith, Alice", "a@example.com", DJANGO)),
                (4, New("bob", encoded=BCRYPT)),
            ],
        ),
        (
            # argon2's parameters have commas
            f'password_hash,name\n"{ARGON2}",alice\n"argon2{ARGON2}",bob\n',
            [(2, New("alice", encoded=ARGON2)), (3, New("bob", encoded=ARGON2))],
        ),
        (
            f'name,display_name,password_hash\nalice,"two\nlines",{BCRYPT}\nbob,,{BCRYPT}\n',
            [(2, New("alice", display_name="two lines", encoded=BCRYPT)), (4, New("bob", encoded=BCRYPT))],
        ),
        (
            f"# made by htpasswd -B\n\nalice:{BCRYPT}\n  bob:{ARGON2}  \n",
            [(3, New("alice", encoded=BCRYPT)), (4, New("bob", encoded=ARGON2))],
        ),
        (f"alice:{BCRYPT}", [(1, New("alice", encoded=BCRYPT))]),
        # a line of htpasswd with an argon2 hash has commas, too
        (f"alice:{ARGON2}\n", [(1, New("alice", encoded=ARGON2))]),
    ],
)
def test_files_that_can_be_read(data: str, expected: list[tuple[int, New]]) -> None:
    """CSV and htpasswd are told apart, and each person comes with the line."""
    parsed = importing.parse(data.encode(), canonical)
    assert parsed.problems == ()
    assert [(line.line, line.new) for line in parsed.lines] == expected


@pytest.mark.parametrize(
    ("data", "line", "message"),
    [
        ("", 1, "nobody in this file"),
        ("# nobody\n", 1, "nobody in this file"),
        ("name,password_hash\n", 1, "nobody in this file"),
        (f"alice {BCRYPT}\n", 1, "neither CSV nor htpasswd"),
        (f"alice,{BCRYPT}\n", 1, "has to name the columns"),
        ("name,pasword_hash\n", 1, 'did you mean "password_hash"?'),
        ("name,email\n", 1, 'the column "password_hash" is missing'),
        ("name,password_hash,name\n", 1, "there twice"),
        ("name;password_hash\n", 1, "separate them by commas"),
        (f"name,password_hash\nalice,{BCRYPT},x\n", 2, "3 fields and 2 columns"),
        (f'name,password_hash\nalice,"{BCRYPT}\n', 2, "not CSV"),
        (f"name,password_hash\nal ice,{BCRYPT}\n", 2, '"al ice" cannot be a name: a blank'),
        (f"name,password_hash,groups\nalice,{BCRYPT},a b\n", 2, "cannot be the name of a group"),
        (f"name,password_hash,email\nalice,{BCRYPT},a\n", 2, "no e-mail address"),
        ("name,password_hash\nalice,\n", 2, "no password hash"),
        ("name,password_hash\nalice,hunter2\n", 2, "perhaps a password in the clear"),
        ("alice:$apr1$18YawQl9$vJLs3HjXpmShAyl58BcTP1\n", 1, "Apache's MD5"),
        ("alice:{SHA}kGByAB793z4R5tK1eC9Hd/4Dhzk=\n", 1, "unsalted SHA-1"),
        ("\nalice:qxVihTzTrOqJE\n", 2, "DES crypt"),
        (f"alice:realm:{BCRYPT}\n", 1, "htdigest"),
        (f"alice:{BCRYPT}\nbob\n", 2, "no colon"),
        (f"alice:{BCRYPT}\nbob:{BCRYPT}\nALICE:{BCRYPT}\n", 3, '"ALICE" is on line 1 already'),
    ],
)
def test_what_is_wrong_is_said_with_its_line(data: str, line: int, message: str) -> None:
    """Every mistake has the line that it is on, and no message repeats a password or a hash."""
    (problem,) = importing.parse(data.encode(), canonical).problems
    assert problem.line == line
    assert message in problem.message
    assert "hunter2" not in problem.message
    assert BCRYPT not in problem.message


def test_all_mistakes_are_told_at_once() -> None:
    """A file is corrected in one go."""
    data = f"name,password_hash\na b,{BCRYPT}\nbob,{BCRYPT}\ncarol,plain\nbob,{BCRYPT}\n"
    parsed = importing.parse(data.encode(), canonical)
    assert [problem.line for problem in parsed.problems] == [2, 4, 5]
    assert [line.new.name for line in parsed.lines] == ["bob"]


def test_other_encodings_are_refused() -> None:
    """A file that is not UTF-8 would give wrong names."""
    (problem,) = importing.parse(
        f"name,password_hash\nalice,{BCRYPT}\nj\u00f6rg,x\n".encode("latin-1"), canonical
    ).problems
    assert problem == Problem(3, "this is not UTF-8; save the file as UTF-8 and try again.")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_file_breaks_it(data: bytes) -> None:
    """Whatever a file holds, there are people or problems."""
    parsed = importing.parse(data, canonical)
    assert parsed.lines or parsed.problems


@given(st.text(alphabet='a,;:"\n\r$ ', max_size=60))
def test_no_csv_breaks_it(data: str) -> None:
    """Whatever stands below a good header, there are people or problems."""
    parsed = importing.parse(b"name,password_hash\n" + data.encode(), canonical)
    assert parsed.lines or parsed.problems


async def test_all_or_none(accounts: Accounts) -> None:
    """With one bad line, or one name that is taken, nobody is added."""
    bad = importing.parse(f"alice:{BCRYPT}\nbob:plain\n".encode(), canonical)
    outcome = await importing.bring(accounts, bad, by="test")
    assert (outcome.added, [problem.line for problem in outcome.problems]) == (0, [2])
    assert await accounts.everybody() == []

    await accounts.add(New("ALICE"), by="test")
    good = importing.parse(f"bob:{BCRYPT}\nalice:{BCRYPT}\n".encode(), canonical)
    outcome = await importing.bring(accounts, good, by="test")
    assert outcome.problems == (Problem(2, 'there is already a person named "alice".'),)
    assert [person.name for person in await accounts.everybody()] == ["ALICE"]

    outcome = await importing.bring(accounts, good, by="test", skip_existing=True)
    assert (outcome.added, outcome.skipped, outcome.problems) == (1, ("alice",), ())
    assert [(person.name, person.password) for person in await accounts.everybody()] == [
        ("ALICE", None),
        ("bob", BCRYPT),
    ]
    assert [entry.action for entry in await accounts.audit("bob")] == ["import"]


async def test_imported_people_need_no_store(accounts: Accounts) -> None:
    """Nobody has a session of a new id, so there is nothing to publish, however many there are."""
    lines = "".join(f"p{number}:{BCRYPT}\n" for number in range(500))
    outcome = await importing.bring(accounts, importing.parse(lines.encode(), canonical), by="test")
    assert outcome.added == 500
    assert await accounts.pending() == 0
