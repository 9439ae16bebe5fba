"""What somebody else may hand over, made wrong at random, and what must become of it: success, or a StudyError.

Each kind is a strategy of inputs and an action that takes one and a folder to write into.
"""

import io
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import strategies as st
from PIL import Image

from activation_study.activations import activation, expressions
from activation_study.claims import exact
from activation_study.claims import file as claims_file
from activation_study.core.errors import StudyError
from activation_study.data import prepare
from activation_study.study.config import ROOT
from activation_study.study.study import Study
from activation_study.tables import parquet

MOST_SECONDS = 2.0
"""Of this process's own work."""
MOST_CHARACTERS = 1000
"""Of a line, and there are at most eleven."""


@dataclass(frozen=True)
class Outcome:
    """What became of an input: "success" or "refused", and the seconds it took."""

    ended: str
    seconds: float


def outcome(action: Callable[[Any, Path], None], value: Any, folder: Path) -> Outcome:
    """Give the input to the action. Any exception but a StudyError goes on; so does a message that is not as it should
    be, as an AssertionError."""
    start, ended = time.process_time(), "success"
    try:
        action(value, folder)
    except StudyError as error:
        ended = "refused"
        lines = str(error).split("\n")
        assert 1 <= len(lines) <= 11, f"{len(lines)} lines"
        for line in lines:
            assert 0 < len(line) <= MOST_CHARACTERS, f"a line of {len(line)} characters"
            assert line.isprintable(), ascii(line)
    seconds = time.process_time() - start
    assert seconds < MOST_SECONDS, f"{seconds:.1f} s"
    return Outcome(ended, seconds)


# --- text that is YAML, more or less ------------------------------------------------------------------------------

CONFIG = """\
study: small
device: cpu
seeds: {tuning: 2, evaluation: 2}
learning_rates: {momentum: [0.003, 1e-2, 0.1]}
training: {pruning: {after: 0.25, keep: 2}, replicas_per_chunk: {cpu: 4}}
activations:
  relu: {class: ReLU}
  leaky: &leaky {class: LeakyReLU, negative_slope: 1e-2}
  swish: {expression: "x * sigmoid(x)"}
datasets:
  blobs: {source: npz, path: blobs.npz, target: 0.6}
  digits: {source: digits, target: 0.9, max_train: null}
cost: {measure: false, widths: [64, 256], repeats: 6}
experiments:
  core: {depth: [2, 5], width: 16, steps: 40, activation: [relu, swish]}
  more:
    - {depth: 2, dataset: digits, optimiser: [sgd, adam], measure: [noise]}
    - {depth: 3, initial_bias: [0, 0.5], seed_stream: other}
"""
CLAIMS = """\
claims:
  - id: mine
    quote: ReLU beats the others.
    rows:
      - {test: both, type: difference, experiment: core, metric: test_accuracy, check: mine.2,
         arms: [{activation: relu}, {activation: swish}], where: {depth: [2, 5]}, over: {width: 16},
         smallest: 0.01, reason: a point}
      - {test: noise, type: exploratory, experiment: more, metric: noise_loss, where: {dataset: digits},
         arms: [{optimiser: sgd}, {optimiser: adam}]}
  - id: other
    quote: The slope of the sigmoid is at most a quarter.
    rows:
      - {test: its range, type: exact, computation: sigmoid_slope}
      - {test: a policy, type: policy, experiment: core, stages: [[relu], [swish]], smallest: 1e-2, reason: r}
"""
NAMES = ["relu", "ReLU", "all", "a" * 20, "ab" * 20, "../x", "{x}", "x" * 300, 'a"><img src=x>', "$(id)", "reference"]
PIECES = [
    *("&a ", "*a", "*leaky", "<<: *leaky", "<<: [*leaky, *leaky]", "!!int ", "!!float ", "!!binary ", "!!python/name:"),
    *("[", "]", "{", "}", ": ", "- ", "? ", "\n", "\n  ", ", ", '"', "'", "|\n", "#", "---\n", "%YAML 9\n", "\t"),
    *("1e-2", "1e999", "-0.0", ".nan", ".inf", "1" + "0" * 400, "9" * 4301, "0x" + "f" * 5000, "1:59:59", "null"),
    *("\x00", "\x1b[2J", "\x9b", "\u202e", "\u2028", "\u200b", '"\\u202e"', '"\\n[9.9 s] done"', "😀", "\ufeff"),
    *("[[[[[[[[[[[[", "{a: " * 30, "2020-01-02", "12:30:45", "yes", "~", "x" * 3000, "[" + "1," * 3000 + "1]"),
    *("/dev/zero", "/etc/passwd", "claims: [/dev/zero]", "experiment: core", "activation: all", "measure: [path]"),
    *NAMES,
]  # fmt: skip
EDIT = st.tuples(st.floats(0, 1), st.integers(0, 40), st.sampled_from(PIECES) | st.text(max_size=6))
EDITS = st.lists(EDIT, min_size=1, max_size=3)
PLAUSIBLE = st.one_of(
    st.integers(1, 9),
    st.sampled_from([0.5, 0.1, "1e-1", 10, 100, None, True, False, "relu", "swish", "leaky", "digits", "all", "core"]),
    st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from(["relu", "swish", "leaky"]), min_size=1, max_size=3, unique=True),
)
SCALARS = st.none() | st.booleans() | st.integers() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=6)
JUNK = st.recursive(
    SCALARS | st.sampled_from(["1e-3", "true", *NAMES]) | st.binary(max_size=3) | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=8,
)


def often(usual: Any, others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The usual, but in a sixth of all draws: what is wrong in every respect is refused for the first of them."""
    return st.integers(0, 5).flatmap(lambda draw: others if draw == 5 else st.just(usual))


def edited(text: str, edits: list[tuple[float, int, str]]) -> str:
    """With each piece put in, in the place of so many characters."""
    for where, length, piece in edits:
        start = int(where * len(text))
        text = text[:start] + piece + text[start + length :]
    return text


@st.composite
def changed(draw: st.DrawFn, text: str) -> str:
    """The YAML with some of its values replaced, removed or added, by what may be right or is certainly not."""
    content, values = yaml.safe_load(text), draw(st.sampled_from([PLAUSIBLE, JUNK]))
    for _ in range(draw(often(1, st.integers(2, 4)))):
        inside: Any = content
        while len(inside):
            key = draw(st.sampled_from(list(inside) if isinstance(inside, dict) else range(len(inside))))
            if isinstance(inside[key], dict | list) and draw(st.integers(0, 7)):
                inside = inside[key]
                continue
            what = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add"]))
            if what == "replace":
                inside[key] = draw(values)
            elif what == "remove":
                del inside[key]
            elif isinstance(inside, list):
                inside.append(draw(values))
            else:
                inside[draw(st.sampled_from(NAMES) | st.text(max_size=5))] = draw(values)
            break
    return yaml.safe_dump(content, allow_unicode=True)


def of_yaml(text: str) -> st.SearchStrategy[str]:
    """The text changed here and there, its values changed, both, or nothing but pieces."""
    return st.one_of(
        st.builds(edited, st.just(text), EDITS),
        changed(text),
        changed(text),
        st.builds(edited, changed(text), EDITS),
        st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=12).map("".join),
    )


def read_config(text: str, folder: Path) -> None:
    """The whole way from a file to runs; what is accepted must be usable."""
    path = folder / "config.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    study = Study.from_file(path)
    assert study.runs
    assert len(study.digest) == 64
    for run in list(study.runs.values())[:20]:
        assert run.mem_mb(100, 10) > 0
        assert run.params["id"] == run.id


FITTING = Study.from_config(yaml.safe_load(CONFIG)).config


def read_claims(text: str, folder: Path) -> None:
    """A file of claims, held against a study that has what the unchanged one asks for."""
    path = folder / "mine.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    claims_file.check(claims_file.read(path), FITTING)


# --- expressions --------------------------------------------------------------------------------------------------

assert "sigmoid_slope" in exact.COMPUTATIONS, "imported here, as the seconds of an import are nobody's"
LEAVES = st.sampled_from(
    ["x", "x", "x", "1", "2.5", "1e-3", ".5", "pi", "0", "1e308", "9" * 400, "y", "x.f", "'x'", "…"]
)
WORDS = [*sorted(expressions.FUNCTIONS), "eval", "np.tanh", "lambda x:", "if", "else", "__import__", "open", "getattr"]
SIGNS = ["+", "-", "*", "/", "**", "//", "%", "@", "<", "==", " if x else ", ",", ":=", ".", "^", "|"]
SOUP = [*WORDS, *SIGNS, "x", "1", "(", ")", "[", "]", "\n", "#", "\\", "'"]
ENDLESS = st.sampled_from(["(", "-", "x**", "tanh(", "x+", "9", "((x", "not "])


def _formulas(words: list[str], signs: list[str], leaves: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds("({} {} {})".format, inner, st.sampled_from(signs), inner),
            st.builds("{}({})".format, st.sampled_from(words), inner),
        ),
        max_leaves=8,
    )


EXPRESSIONS = st.one_of(
    _formulas(["tanh", "sigmoid", "relu", "exp", "abs"], ["+", "-", "*"], st.sampled_from(["x", "x", "1", "0.5"])),
    _formulas(WORDS, SIGNS, LEAVES),
    st.lists(st.sampled_from(SOUP) | st.text(max_size=4)).map("".join),
    st.builds(lambda part, times: part * times, ENDLESS, st.integers(1, 3000)),
)


def read_expression(text: str, folder: Path) -> None:
    """From the entry of a config to an activation that was examined."""
    activation.from_entry("mine", {"expression": text})


# --- files of data ------------------------------------------------------------------------------------------------

BYTES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 8), st.binary(max_size=8)), max_size=4)
"""Where, how many bytes go, which come."""


def damaged(data: bytes, edits: list[tuple[float, int, bytes]], end: float = 1.0) -> bytes:
    """With each edit made, and cut off at this part of its length."""
    for where, length, piece in edits:
        start = int(where * len(data))
        data = data[:start] + piece + data[start + length :]
    return data[: int(end * len(data))]


ENDS = often(1.0, st.floats(0, 1))
TYPES = ["<f4", "<f8", ">f8", "<f2", "|u1", "<i8", "|b1", "<c8", "<U3", "|S4", "|O", "<M8[s]", "|V3", "<i2", "<u8"]
SHAPES = st.lists(st.integers(0, 9), max_size=4).map(tuple)
DECLARED = SHAPES | st.lists(st.integers(-(2**70), 2**70), max_size=3).map(tuple)
ARRAYS = st.sampled_from([("x",), ("y", "x", "z"), ("X", "y")])


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """An .npz with arrays of some type and shape, as its headers say or not, damaged or not."""
    file, samples = io.BytesIO(), draw(often(6, st.integers(0, 9)))
    compression = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name in draw(often(("x", "y"), ARRAYS)):
            shape = draw(often((samples, 3) if name == "x" else (samples,), SHAPES))
            kind = draw(often("|u1", st.sampled_from(TYPES)))
            count = int(np.prod(shape, dtype=object)) * np.dtype(kind).itemsize
            body = draw(st.binary(min_size=count, max_size=count)) if count < 300 else bytes(count)
            declared = draw(often(shape, DECLARED))
            header = repr({"descr": kind, "fortran_order": draw(st.booleans()), "shape": declared})
            header += draw(often("\n", st.sampled_from(["", " " * 40, ")", " + open('x')"])))
            version = draw(often(b"\x01\x00", st.sampled_from([b"\x02\x00", b"\x03\x00", b"\x09\x09"])))
            size = len(header).to_bytes(2 if version == b"\x01\x00" else 4, "little")
            archive.writestr(f"{name}.npy", b"\x93NUMPY" + version + size + header.encode() + body)
    return damaged(file.getvalue(), draw(often([], BYTES)), draw(ENDS))


def read_archive(data: bytes, folder: Path) -> None:
    path = folder / "a.npz"
    path.write_bytes(data)
    found = prepare.load("mine", {"source": "npz", "path": str(path), "target": 0.5})
    assert len(found.x) == len(found.y)
    assert np.isfinite(found.x).all()


NUMBERS = st.integers(-9, 9).map(str)
CELLS = st.sampled_from(["", "?", "1e999", "-inf", "0x1F", "1_0", " 2 ", '"', '"a', "a,b", "TRUE", "1e-320", "9" * 400])


@st.composite
def csvs(draw: st.DrawFn) -> bytes:
    """A csv file of three columns, some of whose cells and bytes are not as they should be."""
    width, ends = draw(often(3, st.integers(0, 5))), draw(often("\n", st.sampled_from(["\r", "\r\n", "\n\n"])))
    names = draw(often(["x", "c", "y"], st.lists(CELLS | st.text(max_size=40), max_size=30)))
    rows = draw(st.lists(st.lists(often(None, CELLS), min_size=width, max_size=width), min_size=2, max_size=5))
    cells = [[draw(NUMBERS) if cell is None else cell for cell in row] for row in rows]
    separator = draw(often(",", st.sampled_from(";\t|")))
    text = ends.join(separator.join(line) for line in [names, *cells])
    return damaged(text.encode("utf-8", "surrogatepass"), draw(often([], BYTES)), draw(ENDS))


def read_csv(data: bytes, folder: Path) -> None:
    path = folder / "a.csv"
    path.write_bytes(data)
    entry = {"source": "csv", "path": str(path), "target": 0.5, "label": "y", "categorical": ["c"]}
    found = prepare.load("mine", entry)
    assert len(found.x) == len(found.y) > 1
    assert np.isfinite(found.x).all()


FORMATS = ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "EPS", "ICO", "PDF"]
MODES = ["L", "1", "P", "RGBA", "I;16", "CMYK", "F"]
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
STRANGE = [EPS, b"<svg/>", b"", b"GIF89a", b"P6\n9"]
FILES = ["a.jpg", "b.eps", "c\n.png", "d\u202e.png", "e\x1b[1m.gif", ".f", "g" * 200]


@st.composite
def images(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file's name and what is in it."""
    kind, mode = draw(often("PNG", st.sampled_from(FORMATS))), draw(often("RGB", st.sampled_from(MODES)))
    file = io.BytesIO()
    try:
        Image.new(mode, draw(often((3, 2), st.sampled_from([(1, 1), (9, 4)])))).save(file, kind)
        data = file.getvalue()
    except (OSError, ValueError, KeyError):  # the format does not have the mode
        data = draw(st.sampled_from(STRANGE))
    return draw(often(".png", st.sampled_from(FILES))), damaged(data, draw(often([], BYTES)), draw(ENDS))


def read_images(files: list[list[tuple[str, bytes]]], folder: Path) -> None:
    """Two classes with some files each."""
    root = folder / "images"
    for label, inside in enumerate(files):
        (root / f"class{label}").mkdir(parents=True)
        for number, (name, data) in enumerate(inside):
            (root / f"class{label}" / f"{number}{name}").write_bytes(data)
    prepare.load("mine", {"source": "folder", "path": str(root), "target": 0.5})


def _table() -> bytes:
    """The published run's smallest table of runs, as bytes."""
    return (ROOT / "reports" / "reference" / "tables" / "datasets.parquet").read_bytes()


VALUES = [st.lists(inside, min_size=2, max_size=2) for inside in (st.integers(-9, 9) | st.none(), st.text(max_size=9))]
COLUMNS = st.dictionaries(
    st.sampled_from(["dataset", "status", "run", "samples", "x\x00y", "a/b"]) | st.text(max_size=6),
    st.one_of(VALUES),
    max_size=5,
)


@st.composite
def parquets(draw: st.DrawFn) -> bytes:
    """A table of a study with bytes changed, or a table of something else."""
    data = _table()
    if draw(st.booleans()):
        file = io.BytesIO()
        pq.write_table(pa.table(draw(COLUMNS)), file)
        data = file.getvalue()
    return damaged(data, draw(often([], BYTES)), draw(ENDS))


def read_table(data: bytes, folder: Path) -> None:
    path = folder / "datasets.parquet"
    path.write_bytes(data)
    parquet.read("datasets", path)


KINDS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any, Path], None]]] = {
    "configs": (of_yaml(CONFIG), read_config),
    "claims": (of_yaml(CLAIMS), read_claims),
    "expressions": (EXPRESSIONS, read_expression),
    "csv": (csvs(), read_csv),
    "npz": (archives(), read_archive),
    "images": (st.lists(st.lists(images(), min_size=1, max_size=2), min_size=2, max_size=2), read_images),
    "tables": (parquets(), read_table),
}
