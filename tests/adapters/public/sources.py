"""Example apps that nobody here wrote: fetched once, kept below .venv, and compared with what was published.

- pip fetches what is on PyPI, a source archive as a whole; nothing of it is run or installed.
- A file whose hash is another one is an error. An app that cannot be had is away: its tests are not run, and say so.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
CACHE: Final = Path(sys.prefix) / ".public"
_RAW: Final = "https://raw.githubusercontent.com"
_BLOCK: Final = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Away(Exception):  # noqa: N818 - it is no error of ours
    """The app cannot be had here, and why."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where an app comes from. `files` are those that are run, by their path below `root`, with their SHA-256."""

    key: str
    title: str
    what: str
    framework: str
    kind: str
    package: str
    version: str
    root: str
    files: dict[str, str]
    sha256: str = ""
    blocks: str = ""
    needs: list[str] = field(default_factory=list)

    @property
    def cached(self) -> Path:
        """Where its files are kept."""
        return CACHE / f"{self.key}-{self.version[:12]}"

    @property
    def packages(self) -> Path | None:
        """Where the packages are that only it needs."""
        return CACHE / f"needs-{self.key}" if self.needs else None


def sources() -> dict[str, Source]:
    """All apps."""
    read = tomllib.loads((FOLDER / "sources.toml").read_text("utf-8"))
    return {key: Source(key, **said) for key, said in read.items()}


def copy(source: Source, to: Path) -> None:
    """Put the untouched app into a folder of its own. Raises Away."""
    _fetch(source)
    for name, known in source.files.items():
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.cached / name, target)
        found = digest(target)
        assert found == known, f"{source.key}: {name} is not as it was published: {found}"
    if source.blocks:
        (name,) = source.files
        (to / source.blocks).write_text("\n".join(_BLOCK.findall((to / name).read_text("utf-8"))))


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _fetch(source: Source) -> None:
    with tempfile.TemporaryDirectory() as made:
        if not all((source.cached / name).exists() for name in source.files):
            {"sdist": _sdist, "installed": _installed, "github": _github}[source.kind](source, Path(made))
        if source.packages and not source.packages.exists():
            _needs(source, source.packages, Path(made) / "needs")


def _sdist(source: Source, folder: Path) -> None:
    asked = folder / "asked.txt"
    asked.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n")
    _run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"],
        ["--retries", "1", "--timeout", "20", "--require-hashes", "--dest", str(folder), "--requirement", str(asked)],
    )
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        for name in source.files:
            member = opened.extractfile(f"{source.root}/{name}")
            assert member is not None, f"{archive.name} has no {name}"
            _keep(source, name, member.read())


def _installed(source: Source, _: Path) -> None:
    found = metadata.distribution(source.package)
    if found.version != source.version:
        raise Away(f"{source.package} {found.version} is installed, and the table says {source.version}")
    for name in source.files:
        _keep(source, name, Path(str(found.locate_file(f"{source.root}/{name}"))).read_bytes())


def _github(source: Source, _: Path) -> None:
    for name in source.files:
        address = f"{_RAW}/{source.package}/{source.version}/{source.root}/{name}"
        try:
            with urllib.request.urlopen(address, timeout=20) as answer:
                _keep(source, name, answer.read())
        except (urllib.error.URLError, TimeoutError) as error:
            raise Away(f"no package carries it, and GitHub cannot be reached: {error}") from error


def _keep(source: Source, name: str, content: bytes) -> None:
    path = source.cached / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _needs(source: Source, to: Path, made: Path) -> None:
    _run(
        [str(Path(sys.prefix) / "bin" / "uv"), "pip", "install", "--quiet", "--no-deps", "--target", str(made)],
        source.needs,
    )
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(made, to)


def _run(command: list[str], more: list[str]) -> None:
    ran = subprocess.run(
        [*command, *more], capture_output=True, text=True, check=False, env={**os.environ, "PIP_NO_INPUT": "1"}
    )
    if ran.returncode:
        raise Away(f"{command[-1]}: {ran.stderr.strip().splitlines()[-1:] or ['it could not be fetched']}")
