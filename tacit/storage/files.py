"""What is a file of tacit, and how is one written and read, so that it outlives a crash and nothing in it can run?

It is one safetensors file (arrays by leaf name) whose metadata holds one JSON header. Files are replaced whole: whoever
reads sees the old one or the new one, never half of either.
"""

import contextlib
import functools
import json
import os
import secrets
import subprocess
import zlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

FORMAT = 1
"""The newest format that this tacit reads, and the one that it writes."""


class StorageError(ValueError):
    """A file could not be written or is not what it should be; the message is one sentence for the user."""


class Provenance(NamedTuple):
    """What a result was made with; `commit` is None outside a git checkout and ends in -dirty with uncommitted work."""

    tacit: str
    commit: str | None
    jax: str
    device: str


def provenance() -> Provenance:
    """The versions, the commit and the device of this process."""
    return Provenance(version("tacit"), _commit(), jax.__version__, jax.devices()[0].device_kind)


def write_atomically(path: str | Path, data: bytes) -> None:
    """Replace the file at `path` by `data`, whole or not at all; missing folders are made.

    Raises StorageError when the disk is full or the place cannot be written; what was there stays as it was.
    """
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        raise StorageError(f"{path} is not a file that could be replaced.")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_to_disk(temporary, data)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(target.parent)
    except OSError as error:
        raise StorageError(f"{path} could not be written: {error.strerror or error}.") from error


def pack(tree: Any, header: Mapping[str, Any]) -> bytes:
    """The bytes of a file that holds the leaves of `tree`, all of them arrays, under their own names."""
    leaves, generators = {}, {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = _leaf_name(path)
        if _is_key(leaf):
            generators[name] = str(jax.random.key_impl(leaf))
            leaf = jax.random.key_data(leaf)  # noqa: PLW2901
        if name in leaves:
            raise StorageError(f"Two arrays are called {name}, so no file can hold both.")
        leaves[name] = np.asarray(leaf, order="C")
        if leaves[name].dtype.kind not in "biufc":
            kind = leaves[name].dtype
            raise StorageError(f"{name or 'The array'} is {kind}, which no file of ours holds: cast it to float32.")
    whole = {"format": FORMAT, **header, "keys": generators, "leaves": sorted(leaves), "checksum": _checksum(leaves)}
    return safetensors.numpy.save(leaves, {"tacit": json.dumps(whole, sort_keys=True)})


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of the file at `path`; its format, its length and its checksum are checked."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise StorageError(f"{path} could not be read: {error.strerror or error}.") from error
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["tacit"])
        written_as = header["format"]
        if type(written_as) is not int:
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StorageError(f"{path} is not a file of tacit, or it is cut short.") from error
    if written_as > FORMAT:
        raise StorageError(
            f"{path} was written by a newer tacit (format {written_as}); this one reads up to {FORMAT}: upgrade tacit."
        )
    try:
        arrays = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} is cut short or damaged.") from error
    if sorted(arrays) != header.get("leaves") or _checksum(arrays) != header.get("checksum"):
        raise StorageError(f"{path} is damaged: its contents do not match its checksum.")
    return header, arrays


def unpack(path: str | Path, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any], like: Any, owner: str) -> Any:
    """`arrays` in the structure of `like`, whose names, shapes and types they must have; NumPy's stay NumPy's."""
    expected, structure = jax.tree_util.tree_flatten_with_path(like)
    names = [_leaf_name(leaf_path) for leaf_path, _ in expected]
    if sorted(names) != sorted(arrays):
        odd = min(set(names) ^ set(arrays))
        raise StorageError(f"{path} does not fit {owner}: {odd} is {'not in it' if odd in names else 'only in it'}.")
    leaves = []
    for name, (_, wanted) in zip(names, expected, strict=True):
        leaf = _leaf(path, arrays[name], header, name) if _is_key(wanted) else arrays[name]
        if leaf.shape != wanted.shape or leaf.dtype != wanted.dtype:
            raise StorageError(
                f"{path} does not fit {owner}: {name} is {leaf.dtype}{list(leaf.shape)}, "
                f"not {wanted.dtype}{list(wanted.shape)}."
            )
        leaves.append(leaf if isinstance(wanted, np.ndarray | np.generic) else jnp.asarray(leaf))
    return jax.tree_util.tree_unflatten(structure, leaves)


def _leaf(path: str | Path, data: np.ndarray, header: Mapping[str, Any], name: str) -> jax.Array:
    """The random key that `data` holds."""
    try:
        return jax.random.wrap_key_data(jnp.asarray(data), impl=header["keys"][name])
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{path} holds a random key that this jax cannot read.") from error


def _leaf_name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _checksum(arrays: Mapping[str, np.ndarray]) -> int:
    """CRC-32 over all arrays in the order of their names."""
    total = 0
    for name in sorted(arrays):
        # As bytes where they lie: a checkpoint may have a gigabyte.
        total = zlib.crc32(np.asarray(arrays[name], order="C").reshape(-1).view(np.uint8).data, total)
    return total


def _write_to_disk(path: Path, data: bytes) -> None:
    """Write a new file and wait until the disk has it."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@functools.cache
def _commit() -> str | None:
    """The commit of the checkout that tacit runs from, as this process found it."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
