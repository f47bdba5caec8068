"""`demur check-config`, over a folder of configurations that somebody might write."""

import json
from pathlib import Path

import pytest

CONFIGURATIONS = Path(__file__).parents[1] / "config"
BAD = sorted((CONFIGURATIONS / "bad").glob("*.toml"))
GOOD = sorted((CONFIGURATIONS / "good").glob("*.toml"))
ONLINE = {"32-unreachable"}


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_configuration_is_told_exactly(path, fixtures, run, monkeypatch):
    """Each bad file gets exactly the text beside it, and errors end with status 2."""
    monkeypatch.chdir(fixtures / "bad")
    offline = [] if path.stem in ONLINE else ["--offline"]
    result = run("check-config", "--config", path.name, *offline)
    expected = path.with_suffix(".txt").read_text(encoding="utf-8")
    assert result.stdout == expected
    assert result.stderr == ""
    assert result.exit_code == (2 if ": error: " in expected else 0)


def test_no_two_bad_configurations_are_alike():
    """Each bad file shows something that no other one does."""
    texts = [path.with_suffix(".txt").read_text(encoding="utf-8").replace(path.stem, "") for path in BAD]
    assert len(BAD) >= 22
    assert len(set(texts)) == len(BAD)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_every_finding_has_a_line_and_a_fix(path, fixtures, run, monkeypatch):
    """Each finding names a line of the file and ends with a sentence on what to do."""
    monkeypatch.chdir(fixtures / "bad")
    found = json.loads(run("check-config", "--config", path.name, "--offline", "--json").stdout)
    lines = path.read_bytes().count(b"\n") + 1
    for finding in found:
        assert finding["file"] == path.name
        assert 1 <= finding["line"] <= lines
        assert finding["message"]
        assert len(finding["fix"]) > 3


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_nothing_is_said_about_a_good_configuration(path, fixtures, run, monkeypatch):
    """A good file has no findings."""
    monkeypatch.chdir(fixtures / "good")
    result = run("check-config", "--config", path.name, "--offline", "--json")
    assert json.loads(result.stdout) == []
    assert result.exit_code == 0


def test_warnings_count_only_where_they_are_asked_to(fixtures, run, monkeypatch):
    """`--strict` makes warnings fail, and without it they do not."""
    monkeypatch.chdir(fixtures / "bad")
    args = ("check-config", "--config", "25-no-tls-anywhere.toml", "--offline")
    assert run(*args).exit_code == 0
    assert run(*args, "--strict").exit_code == 2


def test_json_tells_all_members(fixtures, run, monkeypatch):
    """`--json` gives severity, file, line, message and fix of each finding."""
    monkeypatch.chdir(fixtures / "bad")
    result = run("check-config", "--config", "06-newer-version.toml", "--json")
    assert json.loads(result.stdout) == [
        {
            "severity": "error",
            "file": "06-newer-version.toml",
            "line": 1,
            "message": "version must be 1, not 2.",
            "fix": "This demur reads version 1.",
        }
    ]


def test_a_missing_file_leads_to_init(folder, run):
    """Where there is no configuration, the way to one is told."""
    result = run("check-config")
    assert result.exit_code == 2
    assert "demur.toml: error: there is no such file." in result.stdout
    assert "`demur init --upstream URL`" in result.stdout
