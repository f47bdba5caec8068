"""One world once more, step by step: `python tests/simulation SEED`; or many: `python tests/simulation 0 10000`."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

# Somebody else's wheel brings a package of this name along.
ours = ModuleType("tests")
ours.__path__ = [str(Path(__file__).parent.parent)]
sys.modules["tests"] = ours


def main(first: int, end: int | None = None) -> int:
    """Show one, or run many; 1 if something happened that must not."""
    from tests.simulation.world import replay, run  # noqa: PLC0415 - see above

    if end is None:
        return 0 if run(first, say=print).failed is None else 1
    failed = [world for seed in range(first, end) if (world := run(seed)).failed is not None]
    for world in failed:
        print(f"seed {world.seed}: {world.failed}\n    To see how it came about: {replay(world.seed)}")
    print(f"{end - first} worlds, {len(failed)} of them wrong")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
