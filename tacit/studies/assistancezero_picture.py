"""What does AssistanceZero's table look like? How much a person still does, and what is earned, row by row."""

import json
from pathlib import Path
from typing import Any

PEOPLE = {"builder": "scripted builders", "pikl": "piKL people"}
PANELS = {
    "human_actions": "the person's edits",
    "early_reward_minus_greedy": "reward of the first 100 turns, more than greedy's",
}
OFF_SCALE = ("random",)
"""Rows so far from all others that these could not be told apart beside them."""


def draw_table(figure: Any, out: Path) -> None:
    """The rows that stand in the table in `out`, with their 95 % intervals. Raises ValueError if it has none."""
    path = out / "table.json"
    table = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": []}
    rows = [row for row in table["rows"] if row["row"] not in OFF_SCALE and all(row["people"].values())]
    if not rows:
        raise ValueError(f"{out} has no rows of a table yet; run the study without --plot first.")
    figure.set_figheight(0.27 * len(rows) + 1.2)
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for panel, (key, title) in zip(panels, PANELS.items(), strict=True):
        for at, person in enumerate(rows[0]["people"]):
            found = {place: row["people"][person][key] for place, row in enumerate(rows)}
            found = {place + 0.24 * at - 0.12: figure for place, figure in found.items() if figure is not None}
            means = [figure["mean"] for figure in found.values()]
            beyond = [[abs(figure[end] - figure["mean"]) for figure in found.values()] for end in ("low", "high")]
            panel.errorbar(means, list(found), xerr=beyond, fmt="o", markersize=4, color=f"C{at}", label=PEOPLE[person])
        panel.set_title(title, fontsize=10)
        panel.grid(axis="y", alpha=0.3)
    panels[1].axvline(0.0, color="black", linewidth=0.8)
    panels[0].set_yticks(range(len(rows)), [row["row"] for row in rows])
    panels[0].invert_yaxis()
    panels[0].legend(fontsize=8)
