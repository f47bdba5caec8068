"""Contents that only the holder of a key can read, or change unnoticed: for what lies in a store for a while.

The standard library has no cipher, and nothing more may be needed here. So the content is combined with a stream that
SHAKE256 makes of a key and a nonce, and what comes out is tagged with keyed BLAKE2b (encrypt, then authenticate).
Both are made for this: a sponge's output under a secret prefix is a stream that nobody tells from chance (Keccak team,
"Cryptographic sponge functions", 2011, 5.9), and keyed BLAKE2b is a MAC (RFC 7693, 2.9).
"""

from __future__ import annotations

import hashlib
import hmac

NONCE = 16
"""Bytes of a nonce. No two contents are sealed with one key and one nonce."""
_TAG = 32


def seal(key: bytes, nonce: bytes, content: bytes) -> bytes:
    """Seal a content with a key of 32 bytes: nonce, sealed content, tag."""
    if len(nonce) != NONCE:
        raise ValueError("a nonce has 16 bytes")
    sealed = nonce + _combine(_stream(key, nonce, len(content)), content)
    return sealed + _tag(key, sealed)


def unseal(key: bytes, sealed: bytes) -> bytes | None:
    """The content; None if it was not sealed with this key, or has been changed."""
    body, tag = sealed[:-_TAG], sealed[-_TAG:]
    if len(body) < NONCE or not hmac.compare_digest(_tag(key, body), tag):
        return None
    nonce, content = body[:NONCE], body[NONCE:]
    return _combine(_stream(key, nonce, len(content)), content)


def _derive(key: bytes, purpose: bytes) -> bytes:
    return hashlib.blake2b(key=key, digest_size=32, person=purpose).digest()


def _stream(key: bytes, nonce: bytes, length: int) -> bytes:
    return hashlib.shake_256(_derive(key, b"demur.stream") + nonce).digest(length)


def _tag(key: bytes, sealed: bytes) -> bytes:
    return hashlib.blake2b(sealed, key=_derive(key, b"demur.seal"), digest_size=_TAG).digest()


def _combine(stream: bytes, content: bytes) -> bytes:
    mixed = int.from_bytes(stream, "little") ^ int.from_bytes(content, "little")
    return mixed.to_bytes(len(content), "little")
