# SPDX-License-Identifier: Apache-2.0
"""Liveness figures from the data pack: a table, a JSON file and a plot per section.

    python benchmarks/liveness.py --data PACK --out OUT [--only synthetic] [--quick]

Sections lie in ``liveness_sections``: ``synthetic`` (synthetic speech), ``replay`` (an earlier call
played again), ``challenge`` (spoken digits), ``continuity`` (a hand-over during the call),
``loudspeaker`` (whether one could be told at all) and ``system`` (the whole engine under attack, at
the shipped policy). Each is a module with ``run(plan) -> dict``: it prints its table, may draw into
``plan.plot``, and what it returns is written as ``OUT/liveness-<section>.json``.
"""

import argparse
import importlib
import json
from pathlib import Path

from liveness_sections import SECTIONS, Plan


def main() -> None:
    """Run the wanted sections in order."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="root of the speech pack")
    parser.add_argument("--out", type=Path, required=True, help="folder of JSON, plots and caches")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="may be repeated")
    parser.add_argument("--models", type=Path, default=None, help="default: those of the checkout")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the trials, for a trial run"
    )
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name in chosen.only or SECTIONS:
        section = importlib.import_module(f"liveness_sections.{name}")
        print(f"== {name}")
        found = section.run(
            Plan(chosen.data, chosen.out, name, chosen.models, quick=chosen.quick, seed=chosen.seed)
        )
        target = chosen.out / f"liveness-{name}.json"
        target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"{target.name} written")


if __name__ == "__main__":
    main()
