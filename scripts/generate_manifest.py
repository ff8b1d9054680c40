#!/usr/bin/env python3
"""The manifest generator as a script of its own: a thin door to `watchbill plan`, with the same arguments.

It plans nothing itself, so that the two can never disagree.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("watchbill") is None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
if importlib.util.find_spec("typer") is None:
    print("This Python has none of Watchbill's libraries. Run sh scripts/setup, then:", file=sys.stderr)
    print(f"  .venv/bin/python scripts/generate_manifest.py {' '.join(sys.argv[1:])}", file=sys.stderr)
    sys.exit(2)

from watchbill.__main__ import main

if __name__ == "__main__":
    main(["plan", *sys.argv[1:]])
