"""What does RARO's table look like? The share of right answers round by round, and what a tournament adds."""

import json
from pathlib import Path
from typing import Any

import numpy as np

METHODS = {
    "rlvr": "RLVR: the checker's word",
    "raro": "RARO",
    "raro-no-tie": "RARO without tie",
    "raro-narrow-tie": "RARO with the paper's tie",
    "raro-no-replay": "RARO without replay",
    "raro-no-pairing": "RARO without pairing",
    "raro-no-verdict": "RARO without verdict",
    "raro-not-shared": "RARO, critic apart",
    "sft": "more imitation (SFT)",
    "dpo": "DPO",
    "log-probability": "log-probability",
    "rationalisation": "rationalisation",
}
"""What the rows are called in the picture, in its order."""


def draw_table(figure: Any, out: Path) -> None:
    """The rows that are kept in `out`, all seeds of each. Raises ValueError if there are none."""
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("row-*.json"))]
    if not rows:
        raise ValueError(f"{out} has no rows of a table yet; run the study without --plot first.")
    by = {name: [row for row in rows if row["method"] == name] for name in METHODS}
    by = {name: some for name, some in by.items() if some}
    left, right = figure.subplots(1, 2)
    for place, some in enumerate(by.values()):
        rounds = [point["round"] for point in some[0]["curve"]]
        found = 100 * np.array([[point["right"] for point in row["curve"]] for row in some])
        left.plot(rounds, found.mean(0), color=f"C{place}")
        left.fill_between(rounds, found.min(0), found.max(0), color=f"C{place}", alpha=0.15, linewidth=0)
        right.barh(place, found[:, -1].mean(), color=f"C{place}")
        right.plot(found[:, -1], np.full(len(some), place), ".", color="black", markersize=4)
        gains = [row["tournament_gain"] for row in some]
        if None not in gains:
            start, gain = found[:, -1].mean(), 100 * np.mean(gains)
            right.barh(place, gain, left=start, color=f"C{place}", alpha=0.3)
            right.text(start + gain, place, f" +{gain:.0f}", va="center", fontsize=8)
    left.set(xlabel="round", ylabel="right answers, %", title="puzzles that nobody was shown")
    right.set(xlabel="right answers, %; light: by a tournament of 16", title="in the end, each seed a dot")
    right.set_yticks(range(len(by)), [METHODS[name] for name in by])
    right.invert_yaxis()
