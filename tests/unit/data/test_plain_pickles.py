"""Pickles of arrays are read whoever wrote them; none reaches NumPy's own constructors."""

import io
import pickle
import subprocess
import sys

import numpy as np
import pytest

from activation_study.data import plain_pickles


def load(content: bytes):
    return plain_pickles.load(io.BytesIO(content), encoding="latin1")


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def dtype(code: str, state: bytes = b"(I3\nU\x01|NNNI-1\nI-1\nI0\ntb") -> bytes:
    """As NumPy under Python 2 wrote it."""
    return named("numpy", "dtype") + b"(U" + bytes([len(code)]) + code.encode() + b"I0\nI1\ntR" + state


def array(kind: bytes, raw: bytes, shape: bytes = b"(I1\nt", module: str = "numpy.core.multiarray") -> bytes:
    made = named(module, "_reconstruct") + b"(" + named("numpy", "ndarray") + b"(I0\ntU\x01btR"
    return made + b"(I1\n" + shape + kind + b"I00\nU" + bytes([len(raw)]) + raw + b"tb"


def from_buffer(kind: bytes, raw: bytes, shape: bytes = b"(I1\nt") -> bytes:
    return named("numpy._core.numeric", "_frombuffer") + b"(C" + bytes([len(raw)]) + raw + kind + shape + b"U\x01CtR"


FIELD = b"(I3\nU\x01|N(U\x01ft}U\x01f(" + dtype("O8") + b"I0\ntsI8\nI1\nI0\ntb"
"""The state of a dtype with an object in it that says it has none."""


@pytest.mark.parametrize("code", ["?", "u1", "i1", "<i8", ">i4", ">u2", "<f2", "f4", ">f8"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_numbers_come_back(code, protocol):
    whole = (np.arange(300) % 120).astype(code).reshape(3, 4, 25)
    values = [whole, np.asfortranarray(whole), whole.transpose(1, 0, 2), whole[0, 0, 0:1].reshape(())]
    for value in values + [whole[:0]] * (protocol > 2):  # before, no bytes are a call of `bytes`, which is refused
        content = pickle.dumps({"data": value, "again": [value]}, protocol)
        found = load(content)
        assert isinstance(found["data"], np.ndarray)
        assert found["data"] is found["again"][0]
        assert found["data"].dtype == pickle.loads(content)["data"].dtype
        assert found["data"].shape == value.shape
        np.testing.assert_array_equal(np.vstack([found["data"]]), np.vstack([value]))


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_arrays_of_old_and_new_numpy_come_back(module):
    assert load(array(dtype("u1"), b"\x01\xff", b"(I1\nI2\nt", module) + b".").tolist() == [[1, 255]]
    big = dtype("i2", b"(I3\nU\x01>NNNI-1\nI-1\nI0\ntb")
    assert load(array(big, b"\x01\x00", module=module) + b".").tolist() == [256]
    assert load(from_buffer(dtype("u1"), b"\x07") + b".").tolist() == [7]


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        array(dtype("O8"), b"A" * 8),
        array(dtype("V8", FIELD), b"A" * 8),
        array(dtype("S8"), b"A" * 8),
        from_buffer(dtype("O8"), b"A" * 8),
        from_buffer(dtype("V8", FIELD), b"A" * 8),
        array(dtype("u1"), b"A" * 8),
        array(dtype("u1"), b"A" * 8, b"(I-8\nt"),
        array(dtype("u1"), b"", b"(I0\nL9223372036854775807L\nt"),
        array(dtype("u1"), b"A") + b"(I1\n(I1\nt" + dtype("u1") + b"I00\nU\x01Btb",
        from_buffer(dtype("u1"), b"A", b"(I2\nt"),
        named("_codecs", "encode") + b"(U\x01AU\x05utf-7tR",
        named("numpy", "ndarray") + b"(tR",
        named("numpy", "dtype") + b"(U\x05(9,)OtR",
        b"})" + b"\x85" * 2_000_000 + b"I1\ns",  # a key whose hash is that of tuples in tuples
        b"}" + b"(" * 200_000 + b"t" * 200_000 + b"I1\ns",
        b"Nr\xff\xff\xff\xff",
    ],
    ids=lambda content: f"{len(content)} bytes",
)
def test_what_is_no_array_of_numbers_is_refused(content):
    """In a process of its own: it must not end by a signal."""
    code = "import sys; from activation_study.data import vision; import pickle, numpy as np\nwith vision.guarded():\n"
    code += " print(repr(np.vstack([pickle.load(sys.stdin.buffer, encoding='latin1')])))"
    ended = subprocess.run([sys.executable, "-c", code], input=content + b".", capture_output=True)
    assert ended.returncode == 1, ended
    assert b"UnpicklingError: a pickle holds" in ended.stderr, ended


@pytest.mark.parametrize("key", sorted(plain_pickles.STAND_INS))
@pytest.mark.parametrize("state", [b"}U\x01xI1\ns", b"(}}U\x0c__defaults__(I1\ntst", b"(N}U\x09_functionNst"])
def test_no_pickle_changes_what_it_is_given(key, state):
    with pytest.raises(pickle.UnpicklingError, match="is refused"):
        load(named(*key) + state + b"b.")
    assert load(pickle.dumps(np.arange(3))).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="read-only"):
        load(from_buffer(dtype("u1"), b"A") + b"I0\nI1\ns.")
