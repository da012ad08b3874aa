"""Which games, humans, assistants and studies are there? The folder is the list: no registry to edit.

A file of a listed folder is a member when it defines a top-level `make`. Files are read, not imported, to list them,
so that listing costs nothing and needs none of a member's own dependencies.
"""

import ast
import difflib
import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import NamedTuple


class Member(NamedTuple):
    """One member of a listed folder: its name on the command line, its module and the first line of its docstring."""

    name: str
    module: str
    about: str

    def load(self) -> ModuleType:
        """Import the member's module."""
        return importlib.import_module(self.module)


def members(package: str) -> list[Member]:
    """The members of `package` ("tacit.games"), sorted by name."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"{package} is not a package, so it has no members.")
    found = []
    for path in sorted(Path(spec.submodule_search_locations[0]).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "make" for node in tree.body):
            about = (ast.get_docstring(tree) or "").partition("\n")[0]
            found.append(Member(path.stem.replace("_", "-"), f"{package}.{path.stem}", about))
    return found


def find(package: str, name: str) -> Member:
    """The member called `name`. Raises ValueError with the nearest names when there is none."""
    known = {member.name: member for member in members(package)}
    if name in known:
        return known[name]
    folder = package.rpartition(".")[2]
    kind = "study" if folder == "studies" else folder.removesuffix("s")
    near = difflib.get_close_matches(name, known, n=3) or list(known)
    raise ValueError(f"There is no {kind} called {name!r}; there is {', '.join(near) or 'none yet'}.")
