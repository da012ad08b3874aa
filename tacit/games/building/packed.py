"""How is an array read out of a packed pickle without running the pickle?

The recordings of MBAG keep each episode's observations as base64 around an LZ4 frame around a pickled NumPy array. A
pickle is a program, so it is never run here: its operations are listed, compared with the two lists that NumPy writes
for a plain array of 64-bit integers (protocol 5, and 4), and only then are the numbers read as numbers.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import NamedTuple

import lz4.frame
import numpy as np
from jaxtyping import Int64

MAX_BYTES = 1 << 29
"""Largest array that is unpacked (half a gigabyte, some ten thousand turns): a small frame can claim to be huge."""

_FIXED = {b"\x93": "GLOBAL", b"(": "MARK", b"t": "TUPLE", b"\x85": "TUPLE1", b"\x86": "TUPLE2", b"\x87": "TUPLE3"}
_FIXED |= {b"R": "REDUCE", b"b": "BUILD", b"\x88": "TRUE", b"\x89": "FALSE", b"N": "NONE", b".": "STOP"}
_NUMBERS = {b"K": (1, False), b"M": (2, False), b"J": (4, True)}
_BYTES = {b"C": 1, b"B": 4, b"\x8e": 8, b"\x96": 8}
_NAME, _GET, _MEMOIZE, _FRAME, _PROTO = b"\x8c", b"h", b"\x94", b"\x95", b"\x80"


class _Operation(NamedTuple):
    """One operation of a pickle: what it is called and what it carries, which is None for most."""

    name: str
    value: int | str | memoryview | None = None


def _do(*names: str) -> list[_Operation]:
    """Operations that carry nothing."""
    return [_Operation(name) for name in names]


def _say(*values: str) -> list[_Operation]:
    """Operations that put names on the stack."""
    return [_Operation("NAME", value) for value in values]


def _count(*values: int) -> list[_Operation]:
    """Operations that put numbers on the stack."""
    return [_Operation("NUMBER", value) for value in values]


_ANY_NUMBER, _ANY_BYTES = _Operation("NUMBER"), _Operation("BYTES")
_SHAPE = [_ANY_NUMBER, _ANY_NUMBER, _Operation("TUPLE2")]
_INT64 = [
    *_say("numpy", "dtype"),
    *_do("GLOBAL"),
    *_say("i8"),
    *_do("FALSE", "TRUE", "TUPLE3", "REDUCE", "MARK"),
    *_count(3),
    *_say("<"),
    *_do("NONE", "NONE", "NONE"),
    *_count(-1, -1, 0),
    *_do("TUPLE", "BUILD"),
]
_PROTOCOL_5 = [
    *_say("numpy.core.numeric", "_frombuffer"),
    *_do("GLOBAL", "MARK"),
    _ANY_BYTES,
    *_INT64,
    *_SHAPE,
    *_say("C"),
    *_do("TUPLE", "REDUCE", "STOP"),
]
_PROTOCOL_4 = [
    *_say("numpy.core.multiarray", "_reconstruct"),
    *_do("GLOBAL"),
    *_say("numpy", "ndarray"),
    *_do("GLOBAL"),
    *_count(0),
    *_do("TUPLE1"),
    _ANY_BYTES,
    *_do("TUPLE3", "REDUCE", "MARK"),
    *_count(1),
    *_SHAPE,
    *_INT64,
    *_do("FALSE"),
    _ANY_BYTES,
    *_do("TUPLE", "BUILD", "STOP"),
]
_ACCEPTED = (_PROTOCOL_5, _PROTOCOL_4)
_LONGEST = 64
"""More operations than either list has: a longer pickle is refused before it is read to the end."""


def _operations(pickled: memoryview) -> Iterator[_Operation]:
    """The operations of a pickle one by one, without carrying any out. Raises ValueError at one that is not known.

    Framing and memoising are left out; a name that is fetched from the memo is given as if it were written again.
    """
    at, last, memo = 0, _Operation("START"), list[_Operation]()

    def take(size: int) -> memoryview:
        nonlocal at
        if at + size > len(pickled):
            raise ValueError("its pickle is cut short")
        at += size
        return pickled[at - size : at]

    while last.name != "STOP":
        code = bytes(take(1))
        if code == _MEMOIZE:
            memo.append(last)
            continue
        if code in (_FRAME, _PROTO):
            take(8 if code == _FRAME else 1)
            continue
        if code in _FIXED:
            last = _Operation(_FIXED[code])
        elif code in _NUMBERS:
            size, signed = _NUMBERS[code]
            last = _Operation("NUMBER", int.from_bytes(take(size), "little", signed=signed))
        elif code in _BYTES:
            last = _Operation("BYTES", take(int.from_bytes(take(_BYTES[code]), "little")))
        elif code == _NAME:
            last = _Operation("NAME", bytes(take(take(1)[0])).decode("utf-8", "replace"))
        elif code == _GET and (index := take(1)[0]) < len(memo) and memo[index].name == "NAME":
            last = memo[index]
        else:
            raise ValueError("its pickle does more than hold one array of 64-bit integers, so it is not opened")
        yield last
    if at != len(pickled):
        raise ValueError("something follows its pickle")


def _fits(found: _Operation, wanted: _Operation) -> bool:
    """Whether one operation is the wanted one; NumPy 2 writes `numpy._core` for `numpy.core`."""
    if found.name != wanted.name:
        return False
    if wanted.value is None or found.value == wanted.value:
        return True
    return isinstance(found.value, str) and found.value.replace("numpy._core.", "numpy.core.") == wanted.value


def read_pickled(pickled: bytes | memoryview) -> Int64[np.ndarray, "rows columns"]:
    """The array that a pickle holds, read and not run. Raises ValueError when it is anything else."""
    found = list[_Operation]()
    for operation in _operations(memoryview(pickled)):
        found.append(operation)
        if len(found) > _LONGEST:
            break
    for accepted in _ACCEPTED:
        if len(found) == len(accepted) and all(map(_fits, found, accepted)):
            break
    else:
        raise ValueError("its pickle is not that of one two-dimensional array of 64-bit integers, so it is not opened")
    first = accepted.index(_ANY_NUMBER)
    shape = [operation.value for operation in found[first : first + 2]]
    data = max((operation.value for operation in found if isinstance(operation.value, memoryview)), key=len)
    rows, columns = (number if isinstance(number, int) else -1 for number in shape)
    if rows < 0 or columns < 0 or rows * columns * 8 != len(data):
        raise ValueError(f"its array claims {rows} by {columns} numbers but holds {len(data)} bytes")
    return np.frombuffer(data, "<i8").reshape(rows, columns)


def unpack(text: str) -> Int64[np.ndarray, "rows columns"]:
    """The array in base64 around LZ4 around a pickle. Raises ValueError, in words that follow "the observations: "."""
    try:
        packed = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("they are not base64") from error
    try:
        claimed = lz4.frame.get_frame_info(packed)["content_size"]
        if claimed > MAX_BYTES:
            raise ValueError(f"they claim to unpack to {claimed} bytes, more than the {MAX_BYTES} that are read")
        reader = lz4.frame.LZ4FrameDecompressor()
        pickled = reader.decompress(packed, max_length=MAX_BYTES)
    except RuntimeError as error:
        raise ValueError("they are not an LZ4 frame, or a damaged one") from error
    if not reader.eof:
        full = len(pickled) == MAX_BYTES
        raise ValueError(f"they unpack to more than {MAX_BYTES} bytes" if full else "their LZ4 frame is cut short")
    return read_pickled(pickled)
