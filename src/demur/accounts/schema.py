"""The tables, as the newest migration leaves them. The migrations are what makes them; a test compares the two."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

VERSIONS: Final = ("0001",)
"""Every version of the schema that this program knows, oldest first."""

VERSION_TABLE: Final = "accounts_version"

metadata = MetaData()

# SQLite has one kind of whole number, and does not look at how long a text is.
SECONDS: Final = BigInteger().with_variant(Integer(), "sqlite")
KEY: Final = Text().with_variant(String(64), "sqlite")

person = Table(
    "person",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("name_key", KEY, nullable=False, unique=True),
    Column("display_name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("version", Integer, CheckConstraint("version >= 1", name="person_version"), nullable=False),
    Column("created_at", SECONDS, nullable=False),
    Column("password", Text),
    Column("password_changed_at", SECONDS),
)

membership = Table(
    "membership",
    metadata,
    Column("person", String(36), ForeignKey("person.id", ondelete="CASCADE"), primary_key=True),
    Column("group_name", String(64), primary_key=True),
    Index("membership_group", "group_name"),
)

# What has been decided here and has yet to be told to the session store: the snapshot of a person as JSON and,
# where all sessions of the person end with it, how and by which class of actor.
outbox = Table(
    "outbox",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("at", SECONDS, nullable=False),
    Column("subject", Text, nullable=False),
    Column("ending", String(16)),
    Column("actor", String(16)),
    Column("keep", LargeBinary),
    sqlite_autoincrement=True,
)

# Only ever added to: triggers refuse the rest. No foreign key, because it outlives the person.
audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("at", SECONDS, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", String(32), nullable=False),
    Column("person", String(36), nullable=False),
    Column("name", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Index("audit_person", "person"),
    sqlite_autoincrement=True,
)
