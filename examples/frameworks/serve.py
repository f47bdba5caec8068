"""Start the examples behind demur.

    (cd client && npm ci)                    the libraries
    .venv/bin/python examples/frameworks/serve.py [--port 8000]

Sign in as alice (alice-sows-poppies), open an example, and end her sessions in another terminal:

    .venv/bin/demur sessions end --user alice --config examples/frameworks/state/demur.toml
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
STATE = HERE / "state"
CONFIG = STATE / "demur.toml"
DEMUR = Path(sys.executable).with_name("demur")
PEOPLE: dict[str, str] = {"alice": "alice-sows-poppies", "bob": "bob-borrows-beans"}


def prepare(port: int, upstream: int) -> None:
    """Make what is missing: the bundles, the configuration, people."""
    if not (HERE.parents[1] / "client" / "node_modules").is_dir() or shutil.which("node") is None:
        raise SystemExit("demur: the libraries are missing. With Node.js and npm:\n  (cd client && npm ci)")
    subprocess.run(["node", HERE / "build.mjs"], check=True)
    STATE.mkdir(exist_ok=True)
    text = (CONFIG if CONFIG.exists() else HERE / "demur.toml").read_text()
    values = {
        "listen": f"127.0.0.1:{port}",
        "origin": f"http://localhost:{port}",
        "upstream": f"http://127.0.0.1:{upstream}",
    }
    for key, value in values.items():
        text = re.sub(rf'(?m)^{key} = "[^"]*"( *# set at start)$', rf'{key} = "{value}"\1', text)
    CONFIG.write_text(text)
    if not (STATE / "accounts.db").exists():
        for name, password in PEOPLE.items():
            add = [str(DEMUR), "user", "add", name, "--password-stdin", "--config", str(CONFIG)]
            subprocess.run(add, input=password, text=True, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Start the site and demur before it, until somebody says stop."""
    parser = argparse.ArgumentParser(description="Start the examples behind demur.")
    parser.add_argument("--port", type=int, default=8000)
    port = parser.parse_args().port
    site = socket.create_server(("127.0.0.1", 0))
    prepare(port, site.getsockname()[1])
    uvicorn = [sys.executable, "-m", "uvicorn", "app:app", "--app-dir", str(HERE), "--fd", str(site.fileno())]
    behind = subprocess.Popen([*uvicorn, "--log-level", "warning", "--lifespan", "off"], pass_fds=[site.fileno()])
    before = subprocess.Popen([DEMUR, "serve", "--config", CONFIG])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"demur: the examples are at http://localhost:{port}; Ctrl-C stops them", flush=True)
    try:
        before.wait()
    except KeyboardInterrupt:
        print("\ndemur: stopping")
    finally:
        for process in (before, behind):
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
