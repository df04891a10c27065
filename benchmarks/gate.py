"""The gate beside a second implementation of its policy, and attempts to get past its word.

    make bench NAME=gate

1,000 decisions of random policies about random evidence, each written, decided, replayed, and
compared with the reference rule by rule; 100 attempts to tamper with models, evidence, records and
the audit log; and how often the trend of diversity over versions calls a collapse where there is
none, and where there is one, in simulated lineages.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.approval_desk import Desk
from benchmarks.common import conclude, print_table
from benchmarks.gate_decisions import compare
from benchmarks.gate_tampering import attempts, prepare, refusal, untouched
from components.gate.lineage import Generation, trend

GOALS = {"decisions": 1000, "differences": 0, "attempts": 100, "not_refused": 0, "false_alarms": 5}
# Standard deviations of the logarithm: of measuring 64 texts, as in a quick run, and, which is
# assumed, between trainings.
MEASURING, TRAINING = 0.03, 0.02
LENGTHS = (4, 6, 8, 12)
LOSSES = (0.0, 0.02, 0.05, 0.1)


def main() -> None:
    """Runs all three and prints what they found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=1000)
    parser.add_argument("--lineages", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        differences, seen = compare(Path(folder), chosen.decisions, chosen.seed)
    rows = [[name, count] for name, count in sorted(seen.items())]
    print_table(f"{chosen.decisions:,} decisions, and the verdicts of their rules", ["", ""], rows)
    print("\n".join(differences[:5]))
    tried, passed = tamper(chosen.seed)
    print_table(
        "attempts to tamper, all of them to be refused",
        ["with", "attempts", "refused"],
        [[kind, count, count - passed[kind]] for kind, count in tried.items()],
    )
    alarms = {
        (loss, length): collapse(loss, length, chosen.lineages, chosen.seed)
        for loss in LOSSES
        for length in LENGTHS
    }
    print_table(
        f"share of {chosen.lineages:,} lineages that are called collapsing",
        ["diversity lost per version", *(f"{length} versions" for length in LENGTHS)],
        [
            [f"{loss:.0%}", *(f"{alarms[loss, length]:.1%}" for length in LENGTHS)]
            for loss in LOSSES
        ],
    )
    figures = {
        "decisions": float(chosen.decisions),
        "differences": float(len(differences)),
        "attempts": float(tried.total()),
        "not_refused": float(passed.total()),
        "false_alarms": 100 * max(alarms[0.0, length] for length in LENGTHS),
        "power_5_percent_8_versions": 100 * alarms[0.05, 8],
        "cpu_seconds": time.process_time() - begun,
    }
    lower = ["differences", "not_refused", "false_alarms"]
    conclude("gate", figures, GOALS, lower_is_better=lower)


def tamper(seed: int) -> tuple[Counter[str], Counter[str]]:
    """Makes every attempt on a copy of one desk; how many there were, and how many got past."""
    tried, passed = Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as root, contextlib.redirect_stdout(io.StringIO()):
        clean, copy = Path(root) / "clean", Path(root) / "copy"
        prepare(clean)
        for kind, _, attempt, chance in attempts(seed):
            shutil.copytree(clean, copy)
            tried[kind] += 1
            passed[kind] += not refusal(kind, attempt, Desk(copy), chance)
            shutil.rmtree(copy)
        shutil.copytree(clean, copy)
        # What nobody touched must pass, or refusing all would be no merit.
        if not untouched(Desk(copy)):
            raise SystemExit("error: expected the untouched model to be published")
    return tried, passed


def collapse(loss: float, versions: int, lineages: int, seed: int) -> float:
    """How often the rule of the shipped configurations warns."""
    rng, called = np.random.default_rng(seed), 0
    for _ in range(lineages):
        noise = rng.normal(0, np.hypot(MEASURING, TRAINING), versions)
        values = np.log1p(-loss) * np.arange(versions) + noise
        found = trend([Generation(str(v), float(y), MEASURING) for v, y in enumerate(values)], "")
        high = found["lineage.diversity_trend"].high
        called += high is not None and high < 0
    return called / lineages


if __name__ == "__main__":
    main()
