"""Forms that wait in a store, without a surface."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.support import NOW, SITE, TOKEN, make_request

from demur.core import kept
from demur.core.model import Request, StoreUnavailable
from demur.signin.kept import MOST_OF_ONE, Found, KeptForms, of
from demur.stores.memory import MemoryStore

BO, EVA = "0192-bo", "0192-eva"
REQUEST = make_request(
    "POST",
    "/members/new",
    content_type="application/x-www-form-urlencoded",
    cookie=f"theirs=1; __Host-demur={TOKEN}",
    referer="https://app.example.com/members/form",
)
HANDLE = kept.handle(TOKEN.encode())


class Away(MemoryStore):
    """A store that is not there."""

    async def peek(self, key: bytes, now: int) -> bytes | None:
        """See `Store.peek`."""
        raise StoreUnavailable("away")


@pytest.fixture
def forms() -> KeptForms:
    """Nothing is kept yet."""
    return KeptForms(MemoryStore())


async def keep(forms: KeptForms, content: bytes = b"note=hi", request: Request = REQUEST, subject: str = BO) -> Found:
    """A kept form."""
    assert await forms.keep(SITE, request, content, subject, NOW) == kept.address(SITE, HANDLE, "/members/form")
    found = await forms.find(HANDLE, NOW)
    assert found is not None
    return found


async def test_is_found_by_the_handle_of_its_cookie(forms: KeptForms) -> None:
    """And by no other."""
    found = await keep(forms)
    assert (found.form.subject, found.form.target, found.form.page) == (BO, "/members/new", "/members/form")
    assert of(SITE, REQUEST) == HANDLE
    assert await forms.find(kept.handle(b"other"), NOW) is None
    assert await forms.find("no handle", NOW) is None
    assert await forms.find(HANDLE, found.form.until) is None


async def test_what_cannot_be_kept_counts_too(forms: KeptForms) -> None:
    """Reading one takes a quarter of a second at worst, and everything else waits meanwhile."""
    for _ in range(MOST_OF_ONE):
        assert await forms.keep(SITE, REQUEST, b"no form", BO, NOW) is None
    assert await forms.keep(SITE, REQUEST, b"note=hi", BO, NOW) is None


async def test_two_cookies_are_none(forms: KeptForms) -> None:
    """Of two nobody can choose; without one there is nobody."""
    for cookie in (f"__Host-demur={TOKEN}; __Host-demur={TOKEN}", "theirs=1"):
        request = make_request("POST", "/", content_type="application/x-www-form-urlencoded", cookie=cookie)
        assert await forms.keep(SITE, request, b"note=hi", BO, NOW) is None


@pytest.mark.parametrize("referer", ["", "https://evil.example/", "https://app.example.com/" + "x" * 2000])
async def test_a_page_that_is_not_known(forms: KeptForms, referer: str) -> None:
    """It may not say, be elsewhere, or be too long to be part of an address."""
    fields = tuple((name, value) if name != b"referer" else (name, referer.encode()) for name, value in REQUEST.fields)
    where = await forms.keep(SITE, replace(REQUEST, fields=fields), b"note=hi", BO, NOW)
    assert where == kept.address(SITE, HANDLE, "/")


async def test_only_its_person_takes_it_and_only_as_it_was_seen(forms: KeptForms) -> None:
    """Somebody else's word, and a word about what was there before, change nothing."""
    first = await keep(forms)
    assert await forms.take(HANDLE, first.seal, EVA, NOW) is None
    second = await keep(forms, b"note=newer")
    assert await forms.take(HANDLE, first.seal, BO, NOW) is None
    assert await forms.find(HANDLE, NOW) == second
    taken = await forms.take(HANDLE, second.seal, BO, NOW)
    assert taken is not None
    assert taken.content == b"note=newer"
    assert await forms.take(HANDLE, second.seal, BO, NOW) is None


async def test_a_newer_one_is_not_lost_in_a_race() -> None:
    """It comes between the look and the taking, and stays."""

    class Busy(MemoryStore):
        async def take(self, key: bytes, now: int) -> bytes | None:
            await KeptForms(self).keep(SITE, REQUEST, b"note=newer", BO, now)
            return await super().take(key, now)

    forms = KeptForms(Busy())
    first = await keep(forms)
    assert await forms.take(HANDLE, first.seal, BO, NOW) is None
    found = await forms.find(HANDLE, NOW)
    assert found is not None
    assert found.form.content == b"note=newer"


async def test_a_sign_in_leads_to_it(forms: KeptForms) -> None:
    """That of its person, on its site, unless it leads there already or it was sent."""
    found = await keep(forms)

    async def offered(subject: str = BO, next_: str = "/x", site: object = SITE) -> str | None:
        return await forms.offered(site, REQUEST, subject, next_, NOW)  # type: ignore[arg-type]

    assert await offered() == kept.address(SITE, HANDLE, "/x")
    assert await offered(EVA) is None
    assert await offered(next_=kept.address(SITE, HANDLE, "/")) is None
    assert await offered(site=replace(SITE, origin="https://other.example.com")) is None
    await forms.tell(HANDLE, found.form, NOW, arrived=True)
    assert await offered() is None


async def test_whether_something_waits(forms: KeptForms) -> None:
    """So that a page can say so once more, and only then."""
    where = kept.address(SITE, HANDLE, "/")
    assert not await forms.waits(SITE, where, NOW)
    found = await keep(forms)
    assert await forms.waits(SITE, where, NOW)
    for other in ("/", "/.demur/kept", "/.demur/kept?of=x", where.replace("kept?", "kept/?")):
        assert not await forms.waits(SITE, other, NOW)
    await forms.tell(HANDLE, found.form, NOW, arrived=True)
    assert not await forms.waits(SITE, where, NOW)


async def test_a_sign_in_does_not_fail_for_it() -> None:
    """A store that is away has nothing to offer."""
    forms = KeptForms(Away())
    assert await forms.offered(SITE, REQUEST, BO, "/", NOW) is None
    assert not await forms.waits(SITE, kept.address(SITE, HANDLE, "/"), NOW)
