"""Pickles of containers, numbers, texts and NumPy's arrays of numbers, read so that nothing in one can run code.

None of NumPy's own classes and functions is handed to a pickle: they trust what they are given, and so can be brought
to read any place of the memory. Stand-ins that check take their places.
"""

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from activation_study.core.text import plain

MOST_TUPLES = 10_000
"""Python's hash of tuples within tuples within … has no bound of its own, and ends the process at about 100,000."""
MOST_REMEMBERED = 10_000_000
"""The memory that a pickle asks for grows with the highest place that it names, used or not."""


def load(file: BinaryIO, **options: Any) -> Any:
    """As `pickle.load`; arrays come read-only.

    Raises:
        pickle.UnpicklingError: it asks for something else, or for too much.
        ValueError: it is damaged.
    """
    content, tuples = file.read(), 0
    for code, argument, _ in pickletools.genops(content):
        tuples += code.name.startswith("TUPLE") or code.name == "FROZENSET"
        if tuples > MOST_TUPLES or ("PUT" in code.name and (argument or 0) > MOST_REMEMBERED):
            raise pickle.UnpicklingError("a pickle holds too many tuples or marks, which is refused")
    return _Unpickler(io.BytesIO(content), **options).load()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = STAND_INS.get((module.replace("numpy.core.", "numpy._core."), name))
        if found is None:
            raise pickle.UnpicklingError(f"a pickle asks for {plain(module)}.{plain(name)}, which is refused")
        return found


class _Call:
    """Calls a function, and has no attribute that a pickle could set."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *given: Any) -> Any:
        return self._function(*given)

    def __setstate__(self, state: Any) -> None:
        raise _wrong("a function")


class _Numbers:
    """For numpy.dtype: numbers of one kind and byte order, never objects, fields or raw memory."""

    __slots__ = ("dtype",)

    def __init__(self, code: Any, align: Any = False, copy: Any = True) -> None:
        if not (isinstance(code, str) and re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248])", code)):
            raise _wrong("a dtype")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        """Of (version, byte order, and what only other kinds have)."""
        if not (isinstance(state, tuple) and len(state) > 1 and isinstance(state[1], str) and state[1] in set("<>|=")):
            raise _wrong("a dtype")
        self.dtype = self.dtype.newbyteorder(state[1])  # type: ignore[arg-type]  # it is one of four


class _Array(np.ndarray):
    """An array that takes its state once, when it was checked."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        """Of (version, shape, dtype, whether in Fortran's order, bytes)."""
        if not (isinstance(state, tuple) and len(state) == 5 and self.flags.writeable):
            raise _wrong("an array")
        _, shape, numbers, fortran, raw = state
        raw = raw.encode("latin1") if isinstance(raw, str) else raw  # from Python 2
        _check(raw, numbers, shape)
        order: Any = fortran is True or fortran == 1  # numpy takes a bool, its stubs do not
        super().__setstate__((1, shape, numbers.dtype, order, bytes(raw)))
        self.setflags(write=False)


def _empty(*_: Any) -> np.ndarray:
    """For _reconstruct(ndarray, (0,), b"b"), which a state follows."""
    return _Array((0,), np.uint8)


def _from_buffer(raw: Any, numbers: Any, shape: Any, order: Any, axes: Any = None) -> np.ndarray:
    _check(raw, numbers, shape)
    found = np.frombuffer(raw, numbers.dtype) if len(raw) else np.empty(0, numbers.dtype)
    if order == "K" and axes is not None:
        found = found.reshape(shape).transpose(axes)
    else:
        found = found.reshape(shape, order=order)
    found = found.view(_Array)
    found.setflags(write=False)
    return found


def _encoded(text: Any, encoding: Any = "") -> bytes:
    """Bytes as Python 3 writes them for Python 2."""
    if not (isinstance(text, str) and encoding in ("latin1", "latin-1")):
        raise _wrong("a text")
    return text.encode("latin1")


def _not_called(*_: Any) -> None:
    raise _wrong("an array")


def _check(raw: Any, numbers: Any, shape: Any) -> None:
    """That there is a byte for every byte of the array, and no more."""
    fine = isinstance(raw, bytes | bytearray) and isinstance(numbers, _Numbers) and isinstance(shape, tuple)
    if not fine or len(shape) > 32 or not all(type(side) is int and 0 <= side < 2**31 for side in shape):
        raise _wrong("an array")
    if math.prod(shape) * numbers.dtype.itemsize != len(raw):
        raise _wrong("an array")


def _wrong(what: str) -> pickle.UnpicklingError:
    return pickle.UnpicklingError(f"a pickle holds {what} of an unusual form, which is refused")


STAND_INS = {
    ("numpy._core.multiarray", "_reconstruct"): _Call(_empty),
    ("numpy", "ndarray"): _Call(_not_called),
    ("numpy", "dtype"): _Call(_Numbers),
    ("numpy._core.numeric", "_frombuffer"): _Call(_from_buffer),
    ("_codecs", "encode"): _Call(_encoded),
}
