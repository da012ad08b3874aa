"""How is what was learned kept, finished or half-way?

Weights are the arrays of a Module by leaf name; a checkpoint is the same of everything that training has in its hands.
Whatever is no array (sizes, activation functions) is not kept: it comes from the `like` that the reader gives.
"""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np

from tacit.storage.files import StorageError, pack, provenance, read, unpack, write_atomically

Tree = TypeVar("Tree")

SHIPPED = Path(__file__).resolve().parents[1] / "weights"
"""Where the weights lie that come with tacit."""


def save_weights(path: str | Path, module: Any, about: Mapping[str, Any]) -> None:
    """Write the arrays of a Module, atomically; `about` (name, data, command, figures, ...) must fit into JSON."""
    _save(path, "weights", module, about)


def load_weights(path: str | Path, like: Tree) -> Tree:
    """`like` with the arrays of the weights file at `path`; `like` may also come from `eqx.filter_eval_shape`.

    Raises StorageError, in one sentence, for a file that is damaged, newer, or does not fit `like`.
    """
    return _load(path, "weights", like)


def about_weights(path: str | Path) -> dict[str, Any]:
    """What was said about the weights at `path` when they were saved."""
    return _about(path, "weights", read(path)[0])


def save_checkpoint(path: str | Path, state: Any, about: Mapping[str, Any]) -> None:
    """Write the arrays of a training state, random keys included, atomically; `about` must fit into JSON."""
    _save(path, "checkpoint", state, about)


def load_checkpoint(path: str | Path, like: Tree) -> Tree:
    """`like` with the arrays of the checkpoint at `path`, bit for bit. Raises StorageError as `load_weights` does."""
    return _load(path, "checkpoint", like)


def about_checkpoint(path: str | Path) -> dict[str, Any]:
    """What was said about the checkpoint at `path` when it was saved."""
    return _about(path, "checkpoint", read(path)[0])


def shipped(name: str) -> Path:
    """The file of weights called `name` that comes with tacit. Raises StorageError when there is none."""
    known = {path.stem: path for path in sorted(SHIPPED.glob("*.safetensors"))}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3) or list(known)
        raise StorageError(f"tacit ships no weights called {name!r}; it ships {', '.join(near) or 'none'}.")
    return known[name]


def _save(path: str | Path, kind: str, tree: Any, about: Mapping[str, Any]) -> None:
    try:
        json.dumps(dict(about), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StorageError(f"What is said about {path} does not fit into JSON: {error}.") from error
    header = {"kind": kind, "about": dict(about), **provenance()._asdict()}
    write_atomically(path, pack(eqx.filter(tree, is_array), header))


def _load(path: str | Path, kind: str, like: Tree) -> Tree:
    header, arrays = read(path)
    _about(path, kind, header)
    wanted, rest = eqx.partition(like, is_array)
    return eqx.combine(unpack(path, arrays, header, wanted, f"this {type(like).__name__}"), rest)


def _about(path: str | Path, kind: str, header: Mapping[str, Any]) -> dict[str, Any]:
    """What the file's header says, checked."""
    if header.get("kind") != kind:
        article = "a checkpoint" if kind == "checkpoint" else "a file of weights"
        raise StorageError(f"{path} is not {article}.")
    if type(header.get("about")) is not dict:
        raise StorageError(f"{path} is damaged: its header does not say what it holds.")
    return header["about"]


def is_array(leaf: Any) -> bool:
    """Whether `leaf` is what a file holds."""
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct)
