"""Whether the time of a refused sign-in tells why it was refused.

An unknown name, a disabled account with the right password and a wrong password are tried in turn, in an order that
changes from round to round, through the whole of sign-in: accounts and sessions in SQLite, throttle, hashing. The
medians have to lie within 5 % of each other. Then the same once more with people who were imported with bcrypt hashes,
one of whom is tried as well.

    benchmarks/signin_timing.py [--tries 500] [--preset OWASP_19_MIB]

The preset is the cheapest one, in which everything that is not hashing has its largest share. Exit status 1 if a
median lies outside.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import bcrypt

from demur import accounts, stores
from demur.accounts.people import New
from demur.authenticators.password import PRESETS, Argon2Hasher
from demur.authenticators.throttle import Throttle
from demur.core.model import Absent, Refuse, Request
from demur.core.reasons import Reason
from demur.core.sessions import NIST_AAL2
from demur.signin.password import PasswordSignIn
from demur.signin.sessions import Sessions
from demur.stores.keys import MemoryKeys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from demur.accounts.people import Accounts

WITHIN = 0.05
RIGHT, WRONG = "correct horse battery staple", "correct horse battery stable"
REQUEST = Request("POST", b"/.demur/sign-in", "https", "app.example.com", "192.0.2.1", ())
WARM_UP = 5  # rounds
APART = 3 * 24 * 3600  # seconds on sign-in's clock between two tries: the throttle has forgotten

Case = tuple[str, str]
NATIVE: Mapping[str, Case] = {
    "unknown name": ("nobody", RIGHT),
    "disabled account": ("disabled", RIGHT),
    "wrong password": ("alice", WRONG),
}
IMPORTED: Mapping[str, Case] = {**NATIVE, "wrong password, bcrypt": ("imported", WRONG)}


async def measure(sign_in: PasswordSignIn, cases: Mapping[str, Case], tries: int) -> dict[str, list[float]]:
    """The seconds that each try of each case took."""
    times: dict[str, list[float]] = {case: [] for case in cases}
    now = int(time.time())
    order = list(cases)
    for round_number in range(WARM_UP + tries):
        random.shuffle(order)
        for case in order:
            name, password = cases[case]
            now += APART
            before = time.perf_counter()
            answer = await sign_in.sign_in(name, password, REQUEST, before=Absent(), persistent=False, now=now)
            took = time.perf_counter() - before
            if not isinstance(answer, Refuse) or answer.reason is not Reason.CREDENTIALS_INVALID:
                raise SystemExit(f"{case}: {answer} is not what was to be measured")
            if round_number >= WARM_UP:
                times[case].append(took)
    return times


def report(title: str, times: Mapping[str, list[float]]) -> bool:
    """Print the medians; whether they lie within the bound."""
    medians = {case: statistics.median(values) for case, values in times.items()}
    first = next(iter(medians.values()))
    print(f"{title}, {len(next(iter(times.values())))} tries each")
    for case, median in medians.items():
        low, _, high = statistics.quantiles(times[case], n=4)
        print(
            f"  {case:24} {median * 1000:8.2f} ms  (half of them {low * 1000:.2f} to {high * 1000:.2f})"
            f"  {median / first:6.3f}"
        )
    spread = max(medians.values()) / min(medians.values()) - 1
    fine = spread <= WITHIN
    print(f"  apart by {spread:.1%}: {'within' if fine else 'NOT within'} {WITHIN:.0%}\n")
    return fine


async def prepare(people: Accounts, hasher: Argon2Hasher) -> None:
    """Two people with passwords, one of whom is disabled."""
    encoded = await hasher.hash(RIGHT)
    await people.add_all([New("alice", encoded=encoded), New("disabled", encoded=encoded)], by="benchmark")
    await people.disable("disabled", by="benchmark")


async def run(preset: str, tries: int) -> bool:
    """Both measurements; whether both lie within the bound."""
    with tempfile.TemporaryDirectory() as folder:
        store = stores.open(f"sqlite:{Path(folder) / 'sessions.db'}")
        people = accounts.open(f"sqlite:{Path(folder) / 'accounts.db'}", store)
        hasher = Argon2Hasher(preset, concurrency=1)
        sign_in = PasswordSignIn(people, hasher, Throttle(store), Sessions(store, MemoryKeys(), NIST_AAL2))
        try:
            await prepare(people, hasher)
            fine = report(f"{preset}", await measure(sign_in, NATIVE, tries))
            old = bcrypt.hashpw(RIGHT.encode(), bcrypt.gensalt(10)).decode().replace("$2b$", "$2y$")
            await people.add(New("imported", encoded=old), by="benchmark")
            hasher.expect(await people.hash_samples())
            few = max(20, tries // 4)
            return report(f"{preset}, with imported bcrypt", await measure(sign_in, IMPORTED, few)) and fine
        finally:
            hasher.close()
            await people.aclose()
            await store.aclose()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Whether the time of a refused sign-in tells why.")
    parser.add_argument("--tries", type=int, default=500, help="of each kind (500)")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="OWASP_19_MIB")
    given = parser.parse_args()
    return 0 if asyncio.run(run(given.preset, given.tries)) else 1


if __name__ == "__main__":
    sys.exit(main())
