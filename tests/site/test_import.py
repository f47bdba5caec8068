"""People of another program, brought along while the gateway runs: old passwords go on, old hashes do not."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets

import bcrypt
import pytest
from argon2 import PasswordHasher, Type, extract_parameters
from tests.site.houses import House, run
from tests.site.settlers import HASHING

from demur import accounts
from demur.authenticators.password import PRESETS

PASSWORD = "wren nests under Ærø's eaves"


def _bcrypt(prefix: bytes) -> str:
    """As `htpasswd -B` ($2y$, and PHP's `password_hash`) or Node and Rails ($2b$) write it."""
    return bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).replace(b"$2b$", prefix).decode()


def _argon2(kind: Type) -> str:
    """As PHP's PASSWORD_ARGON2ID or Django's hasher, with less memory than the preset."""
    return PasswordHasher(time_cost=2, memory_cost=1024, parallelism=2, type=kind).hash(PASSWORD)


def _django(digest: str) -> str:
    """As Django's PBKDF2PasswordHasher and PBKDF2SHA1PasswordHasher write it."""
    made = hashlib.pbkdf2_hmac(digest, PASSWORD.encode(), b"seasalt", 1000)
    return f"pbkdf2_{digest}$1000$seasalt${base64.b64encode(made).decode()}"


KINDS = {
    "bcrypt of PHP": lambda: _bcrypt(b"$2y$"),
    "bcrypt of others": lambda: _bcrypt(b"$2b$"),
    "argon2id": lambda: _argon2(Type.ID),
    "argon2i": lambda: _argon2(Type.I),
    "PBKDF2 of Django": lambda: _django("sha256"),
    "old PBKDF2 of Django": lambda: _django("sha1"),
}


def kept(house: House, name: str) -> str:
    """The hash that is kept of somebody."""

    async def look() -> str:
        people = accounts.open(f"sqlite:{house.folder / 'accounts.db'}")
        try:
            account = await people.by_name(name)
            assert account is not None
            assert account.password is not None
            return account.password
        finally:
            await people.aclose()

    return run(look())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "kinds"), [("csv", tuple(KINDS)), ("htpasswd", ("bcrypt of PHP", "argon2id", "PBKDF2 of Django"))]
)
def test_everybody_comes_along(sample, form, kinds):
    """From a table and from an htpasswd file, every kind of hash lets its owner in, no other password does, and the
    hash is as strong as the preset from then on."""
    people = {f"p{secrets.token_hex(4)}": KINDS[kind]() for kind in kinds}
    lines = [f"{name}:{encoded}" for name, encoded in people.items()]
    if form == "csv":
        # argon2 has commas of its own, so that the hash stands in quotes, as every writer of CSV puts it.
        lines = ["name,password_hash,groups", *(f'{name},"{encoded}",members' for name, encoded in people.items())]
    file = sample.folder / f"people.{form}"
    file.write_text("\n".join([*lines, ""]))
    sample.demur("user", "import", str(file))

    for name, encoded in people.items():
        assert sample.sign_in(name, PASSWORD + ".").status == 401
        assert kept(sample, name) == encoded
        answer = sample.sign_in(name, PASSWORD)
        assert answer.status == 303, encoded
        who = json.loads(sample.script("/.demur/account", sample.token(answer)).body)
        assert (who["name"], who["groups"]) == (name, ["members"] if form == "csv" else [])
        upgraded = kept(sample, name)
        assert upgraded.startswith("$argon2id$")
        assert extract_parameters(upgraded) == PRESETS[HASHING]
        assert sample.sign_in(name, PASSWORD).status == 303
        assert kept(sample, name) == upgraded
