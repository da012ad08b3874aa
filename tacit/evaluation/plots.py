"""What does a comparison look like? Bars with their intervals; needs the extra `plots` (matplotlib)."""

import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tacit.storage import write_atomically

SUFFIXES = (".png", ".svg", ".pdf")

PANELS = {
    "human_actions": "the person's edits",
    "assistant_share": "assistant's share of the edits",
    "turns": "turns",
    "goal_completed": "goal completed, %",
}
"""The figures that are drawn, with what to call them."""


def check_plots(path: Path) -> None:
    """Raise ValueError, with how to mend it, if `path` is no picture's or matplotlib is not installed."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path} should end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError("Drawing a plot needs matplotlib: install tacit with its extra, tacit[plots].")


def plot_rows(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the rows of a comparison, a panel a figure, and write them to `path`."""
    check_plots(path)
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    drawn = {key: title for key, title in PANELS.items() if any(row[key] is not None for row in rows)}
    names = [row["assistant"] for row in rows]
    figure = Figure(figsize=(3.2 * len(drawn), 0.5 * len(rows) + 1.2), layout="constrained")
    panels = figure.subplots(1, len(drawn), sharey=True, squeeze=False)[0]
    for panel, (key, title) in zip(panels, drawn.items(), strict=True):
        for place, row in enumerate(rows):
            if row[key] is not None:
                mean, low, high = (row[key][part] for part in ("mean", "low", "high"))
                panel.barh(place, mean, xerr=[[mean - low], [high - mean]], color=f"C{place}", capsize=3)
        panel.set_yticks(range(len(names)), names)
        panel.set_title(title, fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].invert_yaxis()
    drawing = io.BytesIO()
    figure.savefig(drawing, format=path.suffix[1:], dpi=150)
    write_atomically(path, drawing.getvalue())
