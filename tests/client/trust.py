"""A certificate authority of the tests' own, and browsers that trust it because they were told so, as an
administrator tells them; no error is ignored."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NAME = "demur tests"
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def authority(folder: Path) -> Path:
    """Make `ca.pem`, and `cert.pem` and `key.pem` for localhost, which it has signed; the folder."""
    ca, ca_key, request = str(folder / "ca.pem"), str(folder / "ca-key.pem"), str(folder / "request.pem")
    for_signing = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _openssl("req", "-x509", *_CURVE, "-subj", f"/CN={NAME}", *for_signing, "-keyout", ca_key, "-out", ca)
    _openssl("req", *_CURVE[:5], "-subj", "/CN=localhost", "-keyout", str(folder / "key.pem"), "-out", request)
    extensions = folder / "extensions"
    extensions.write_text(
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
        "subjectAltName=DNS:localhost,IP:127.0.0.1\n"
    )
    signed = ("-CA", ca, "-CAkey", ca_key, "-days", "2", "-extfile", str(extensions))
    _openssl("x509", "-req", "-in", request, *signed, "-out", str(folder / "cert.pem"))
    return folder


def into_nss(database: Path, ca: Path) -> None:
    """Trust an authority for web sites in an NSS database, which is made if it is not there."""
    database.mkdir(parents=True, exist_ok=True)
    where = ("-d", f"sql:{database}")
    subprocess.run(["certutil", "-N", *where, "--empty-password"], check=True, capture_output=True)
    added = ["certutil", "-A", *where, "-t", "C,,", "-n", NAME, "-i", str(ca)]
    subprocess.run(added, check=True, capture_output=True)
