"""The world of blocks in the browser: one element, drawn by `voxels.js` with the THREE that comes with NiceGUI."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nicegui
from nicegui import ui

_THREE = Path(nicegui.__file__).parent / "elements" / "scene" / "dist"


class Voxels(ui.element, component="voxels.js", esm={"nicegui-scene": str(_THREE)}):
    """Blocks, guesses, bodies and an outline, as `view.world` gives them.

    `said` gets a message for the session when a cell is clicked, `pointed` the cell under the pointer or None.
    """

    def __init__(self, said: Callable[[Any], None], pointed: Callable[[Any], None]) -> None:
        super().__init__()
        self._props |= {"world": None, "tool": "build", "kind": 2, "threshold": 0.35, "outline": True}
        self.on("say", lambda event: said(event.args))
        self.on("point", lambda event: pointed(event.args), throttle=0.08)

    def show(self, name: str, value: Any) -> None:
        """Change one of the properties: world, tool, kind, threshold, outline."""
        if self._props[name] != value:
            self._props[name] = value
            self.update()
