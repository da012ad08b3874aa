"""What does a comparison, or a study, look like? Needs the extra `plots` (matplotlib)."""

import importlib.util
import io
from collections.abc import Callable, Sequence
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


def plot(draw: Callable[[Any], None], path: Path, size: tuple[float, float] = (9.6, 3.4)) -> None:
    """Write to `path` what `draw` puts on a matplotlib Figure of this size in inches."""
    check_plots(path)
    import matplotlib as mpl  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=size, layout="constrained")
    # The same picture has the same bytes: no date, and names within an SVG that do not hang on chance.
    style: dict[Any, Any] = {"svg.hashsalt": "tacit", "svg.fonttype": "none"}
    with mpl.rc_context({**style, "axes.spines.top": False, "axes.spines.right": False}):
        draw(figure)
        drawing = io.BytesIO()
        figure.savefig(
            drawing, format=path.suffix[1:], dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None
        )
    write_atomically(path, drawing.getvalue())


def plot_rows(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the rows of a comparison, a panel a figure, and write them to `path`."""
    drawn = {key: title for key, title in PANELS.items() if any(row[key] is not None for row in rows)}
    names = [row["assistant"] for row in rows]

    def draw(figure: Any) -> None:
        panels = figure.subplots(1, len(drawn), sharey=True, squeeze=False)[0]
        for panel, (key, title) in zip(panels, drawn.items(), strict=True):
            for place, row in enumerate(rows):
                if row[key] is not None:
                    mean, low, high = (row[key][part] for part in ("mean", "low", "high"))
                    panel.barh(place, mean, xerr=[[mean - low], [high - mean]], color=f"C{place}", capsize=3)
            panel.set_yticks(range(len(names)), names)
            panel.set_title(title, fontsize=10)
        panels[0].invert_yaxis()

    plot(draw, path, (3.2 * len(drawn), 0.5 * len(rows) + 1.2))
