"""A catalogue of bad input: each is refused in one line that names key and value, and leaves nothing behind."""

import os
import socket
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import yaml
from PIL import Image

import small
from activation_study import claims, datasets
from activation_study.activations import from_entry
from activation_study.config import ROOT, read
from activation_study.errors import StudyError
from activation_study.study import Study


def refused(action, held, tmp_path):
    """The action raises a StudyError of one line that holds these words, and writes nothing into the folder."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StudyError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable(), ascii(message)
    for words in held:
        assert words in message
    assert sorted(tmp_path.rglob("*")) == before


# --- the config, as text: what YAML makes of it --------------------------------------------------------------

SMALL = yaml.safe_dump(small.config(), sort_keys=False)
# What stands in the place of the file's end, and what the line must say.
TEXTS = {
    "a key twice": ("study: another", ["study", "stands there twice", "line"]),
    "a key twice, inside": ("cost: {depth: 1, repeats: 6, depth: 2}", ["'depth'", "stands there twice"]),
    "an activation twice": ("extra: {relu: 1, tanh: 1, relu: 2}", ["'relu'", "stands there twice"]),
    "a tab": ("cost:\n\tdepth: 1", ["cannot be read as YAML"]),
    "a tag that makes objects": ("cost: !!python/object/apply:os.getcwd []", ["cannot be read as YAML"]),
    "two documents": ("---\nstudy: other", ["cannot be read as YAML", "single document"]),
    "an alias of nothing": ("cost: *nothing", ["cannot be read as YAML", "nothing"]),
    "aliases without end": (
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "\n".join(f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        ["more than 100000 values"],
    ),
    "half a surrogate": ('cost: "\\ud800"', ["cost", "control character"]),
    "a zero byte": ('cost: "a\\0b"', ["cost", "'a\\x00b'", "control character"]),
    "an escape sequence": ('cost: {"\\e[2J": 1}', ["cost", "control character"]),
    "a key of several lines": ('cost: {"a\\nb": 1}', ["cost", "control character"]),
    "a list as a key": ("? [a, b]\n: 1", ["cannot be read as YAML"]),
    "a set": ("cost: !!set {a, b}", ["cost", "must be text, a number"]),
    "bytes": ("cost: !!binary aGVsbG8=", ["cost", "must be text, a number"]),
    "a time": ("cost: 2020-01-02 03:04:05", ["cost", "must be text, a number"]),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_file_that_yaml_reads_otherwise_than_meant(kind, tmp_path):
    text, held = TEXTS[kind]
    path = tmp_path / "config.yaml"
    path.write_text(f"{SMALL}{text}\n", encoding="utf-8")
    refused(lambda: Study.from_file(path), [str(path), *held], tmp_path)


def test_a_merged_mapping_may_say_a_key_anew(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("a: &a {depth: 1, width: 2}\nb: {<<: *a, depth: 3}\nc: {<<: *a, width: 3}\n", encoding="utf-8")
    assert read(path)["b"] == {"depth": 3, "width": 2}
    assert read(path)["c"] == {"depth": 1, "width": 3}


@pytest.mark.parametrize("file", ["config.yaml", "config/demo.yaml", "claims.yaml", "tests/configs/smoke.yaml"])
def test_the_files_that_ship_are_read_as_yaml_reads_them(file):
    assert read(ROOT / file) == yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "comment", "list", "latin-1", "utf-16", "parquet"])
def test_a_file_that_is_no_config(kind, tmp_path):
    path = tmp_path / "config.yaml"
    contents = {
        "empty": b"",
        "comment": b"# nothing yet\n",
        "list": b"- study\n",
        "latin-1": SMALL.replace("small", "klein-ä").encode("latin-1"),
        "utf-16": b"\xff\xfe" + SMALL.encode("utf-16-le"),
        "parquet": b"PAR1\x15\x04\x15\xf0\x00PAR1",
    }
    if kind == "folder":
        path.mkdir()
    elif kind in contents:
        path.write_bytes(contents[kind])
    held = {"empty": "not NoneType", "comment": "not NoneType", "list": "not list"}
    refused(lambda: Study.from_file(path), [str(path), held.get(kind, "cannot be read as YAML")], tmp_path)


# --- the config, as values -----------------------------------------------------------------------------------

CORE = small.CONFIG["experiments"]["core"]
MANY = [*range(1, 1001)]
VALUES = {
    "a name that leaves its folder": ({"study": "../../etc"}, ["study", "../../etc", "letters"]),
    "a name of dots": ({"study": ".."}, ["study", '".."', "letters"]),
    "a name with a line break": ({"study": "small\n"}, ["study", "letters"]),
    "a name in another script": ({"study": "study-ä"}, ["study", "letters"]),
    "a name with a blank": ({"study": "my study"}, ["study", "my study", "letters"]),
    "the published run's name": ({"study": "reference"}, ["study", "reference", "another name"]),
    "a wildcard as a name": ({"activations": {"{x}": {"class": "ReLU"}}}, ["activations", "{x}", "letters"]),
    "a path as an activation": ({"activations": {"../relu": {"class": "ReLU"}}}, ["../relu", "letters"]),
    "a dataset with a line break": (
        {"datasets": {"blobs\n": small.CONFIG["datasets"]["blobs"]}},
        ["datasets", "control character"],
    ),
    "a seed stream with a line break": (
        {"experiments": {"core": CORE | {"seed_stream": "a\n"}}},
        ["experiments.core.seed_stream.0", "letters"],
    ),
    "more runs than can be": (
        {"experiments": {"core": CORE | {"depth": MANY, "width": MANY, "steps": MANY}}},
        ["experiments.core", "1000000000 runs", "at most 100000"],
    ),
    "a number too large for a float": ({"seeds": {"tuning": 10**400}}, ["seeds.tuning", "finite number"]),
    "a negative number of layers": ({"experiments": {"core": CORE | {"depth": -1}}}, ["depth.0", "-1", "at least 1"]),
    "a rate as a formula": ({"learning_rates": {"momentum": ["10**-3"]}}, ["momentum.0", "10**-3", "number"]),
    "a rate with a comma": ({"learning_rates": {"momentum": ["0,01"]}}, ["momentum.0", "0,01", "number"]),
    "a rate in other digits": ({"learning_rates": {"momentum": ["٠.١"]}}, ["momentum.0", "number"]),
    "seeds beyond the largest": ({"seeds": {"evaluation": 1001}}, ["seeds.evaluation", "1001", "at most 1000"]),
    "a list of claims in a list": ({"claims": [["claims.yaml"]]}, ["claims.0", "string"]),
    "a claims file twice": ({"claims": ["claims.yaml", "claims.yaml"]}, ["claims", "twice"]),
    "a key in capitals": ({"Study": "x"}, ["unknown key Study", "study"]),
    "an argument that is a list": (
        {"activations": {"relu": {"class": "ReLU", "inplace": [1]}}},
        ["activations.relu", "inplace", "number"],
    ),
    "a class with a dot": ({"activations": {"relu": {"class": "modules.ReLU"}}}, ["activations.relu", "modules.ReLU"]),
    "a class of two underscores": ({"activations": {"relu": {"class": "__builtins__"}}}, ["torch.nn", "__builtins__"]),
    "a module with a path": ({"activations": {"relu": {"module": "../mine:Own"}}}, ["package.module:Class", "../mine"]),
    "a module with a call": ({"activations": {"relu": {"module": "os:system('x')"}}}, ["package.module:Class"]),
    "an expression with an attribute": (
        {"activations": {"relu": {"expression": "x.__class__"}}},
        ["activations.relu", "x.__class__", "not allowed"],
    ),
    "an expression with a call of a call": (
        {"activations": {"relu": {"expression": "().__class__.__bases__[0].__subclasses__()"}}},
        ["activations.relu", "not allowed"],
    ),
    "an expression with a walrus": (
        {"activations": {"relu": {"expression": "(tanh := x)"}}},
        ["activations.relu", "not allowed"],
    ),
    "an expression in f-strings": (
        {"activations": {"relu": {"expression": "f'{x!r}'"}}},
        ["activations.relu", "not allowed"],
    ),
    "an expression with arguments": (
        {"activations": {"relu": {"expression": "x", "alpha": 1}}},
        ["activations.relu", "takes no arguments", "alpha"],
    ),
    "a power without end": (
        {"activations": {"relu": {"expression": "x * 9**9**9"}}},
        ["activations.relu", "exponent"],
    ),
    "an unknown argument of torchvision's": (
        {"datasets": {"d": {"source": "torchvision", "class": "MNIST", "root": "/", "target": 0.5}}},
        ["datasets.d.root", "set by the study"],
    ),
    "a class of torchvision's with a dot": (
        {"datasets": {"d": {"source": "torchvision", "class": "mnist.MNIST", "target": 0.5}}},
        ["datasets.d.class", "mnist.MNIST"],
    ),
    "a path that is a number": (
        {"datasets": {"d": {"source": "npz", "path": 3, "target": 0.5}}},
        ["datasets.d.path", "3"],
    ),
    "a target of one": (
        {"datasets": {"d": {"source": "digits", "target": 1}}},
        ["datasets.d.target", "1", "below 1"],
    ),
}


@pytest.mark.parametrize("kind", VALUES)
def test_a_config_that_asks_for_what_cannot_be(kind, tmp_path):
    changes, held = VALUES[kind]
    config = small.config(**changes)
    if "datasets" in changes:
        config["datasets"] = changes["datasets"]
        config["experiments"]["core"].pop("dataset", None)
    refused(lambda: Study.from_config(config), held, tmp_path)


# --- data ----------------------------------------------------------------------------------------------------

X, Y = np.arange(24.0).reshape(6, 4), np.array([0, 0, 0, 1, 1, 1])


def _saved(path, **arrays):
    np.savez(path, **arrays)


def _member(path, content, name="x.npy", **zipped):
    with zipfile.ZipFile(path, "w", **zipped) as archive:
        archive.writestr(name, content)
        archive.writestr("y.npy", b"")


def _npy(descr, shape, data=b"", version=1):
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(text)) + text.encode() + data


def _encrypted(path):
    """The flag bit that says so, set in both of the archive's headers."""
    _saved(path, x=X, y=Y)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = 0
        while (start := content.find(mark, start)) >= 0:
            content[start + offset] |= 1
            start += 4
    path.write_bytes(content)


ARCHIVES = {
    "pickled objects": (lambda p: _saved(p, x=np.array([[{}], [1]], dtype=object), y=Y[:2]), ["pickled", "never"]),
    "a header that runs code": (lambda p: _member(p, _npy("__import__('os').getcwd()", "(1,)")), ["not a readable"]),
    "a header of another length": (lambda p: _member(p, _npy("'<f8'", "(2, 2)", bytes(8))), ["does not fit"]),
    "a shape beyond all memory": (lambda p: _member(p, _npy("'<f8'", f"({2**62}, 4)", bytes(8))), ["does not fit"]),
    "elements of no bytes": (lambda p: _member(p, _npy("'<V0'", f"({2**40},)")), ["datasets.mine"]),
    "records": (
        lambda p: _saved(p, x=np.zeros((6, 2), [("a", "f4"), ("b", "i4")]), y=Y),
        ["x has the type", "real numbers"],
    ),
    "dates": (lambda p: _saved(p, x=X.astype("M8[s]"), y=Y), ["x has the type", "real numbers"]),
    "a later format": (lambda p: _member(p, _npy("'<f8'", "(1,)", bytes(8), version=3)), ["npy format (3, 0)"]),
    "an archive in an archive": (lambda p: _member(p, b"PK\x03\x04", name="x.npz"), ["no array 'x'"]),
    "a name that leaves its folder": (lambda p: _member(p, b"", name="../x.npy"), ["no array 'x'"]),
    "a password": (_encrypted, ["not a readable", "encrypted"]),
    "labels as text": (lambda p: _saved(p, x=X, y=Y.astype(str)), ["y has the type", "integer"]),
    "one-hot labels": (lambda p: _saved(p, x=X, y=np.eye(2, dtype=int)[Y]), ["y (6, 2)"]),
    "labels as numbers with a point": (lambda p: _saved(p, x=X, y=Y / 1.0), ["y has the type float64", "integer"]),
    "one class": (lambda p: _saved(p, x=X, y=Y * 0), ["at least two classes"]),
    "an empty set": (lambda p: _saved(p, x=X[:0], y=Y[:0]), ["not empty"]),
    "a value that is missing": (lambda p: _saved(p, x=np.where(X == 6, np.nan, X), y=Y), ["sample 1, feature 2"]),
    "a text file": (lambda p: p.write_text("x,y\n1,2\n"), ["not a readable .npz"]),
    "an npy file": (lambda p: p.write_bytes(_npy("'<f8'", "(1,)", bytes(8))), ["not a readable .npz"]),
    "a folder": (lambda p: p.mkdir(), ["is no file"]),
    "a pipe": (os.mkfifo, ["is no file"]),
    "a link to nothing": (lambda p: p.symlink_to("nowhere"), ["is no file"]),
    "a link to itself": (lambda p: p.symlink_to(p), ["datasets.mine.path"]),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_that_is_none(kind, tmp_path):
    make, held = ARCHIVES[kind]
    path = tmp_path / "a.npz"
    make(path)
    entry = {"source": "npz", "path": str(path)}
    refused(lambda: datasets.load("mine", entry), ["datasets.mine", *held], tmp_path)


@pytest.mark.parametrize(
    ("path", "held"),
    [
        ("x" * 300, "datasets.mine.path"),
        ("~no-such-user/a.npz", "~no-such-user"),
        ("/dev/zero", "/dev/zero is no file"),
    ],
)
def test_a_path_that_is_none(path, held, tmp_path):
    for source in ("npz", "folder"):
        entry = {"source": source, "path": path}
        refused(lambda entry=entry: datasets.load("mine", entry), [held.replace("file", "fol")[:20]], tmp_path)
        datasets.fingerprint(entry)  # asked for while Snakemake plans: what is wrong is the job's to say


def _socket(path):
    with socket.socket(socket.AF_UNIX) as own:
        own.bind(str(path))


IMAGES = {
    "a pipe": (lambda c: os.mkfifo(c / "c.png"), ["c.png", "no file"]),
    "a socket": (lambda c: _socket(c / "c.png"), ["c.png", "no file"]),
    "a link out of the folder": (lambda c: (c / "c.png").symlink_to("/etc/hostname"), ["is a link", "outside"]),
    "a link to nothing": (lambda c: (c / "c.png").symlink_to("nowhere.png"), ["c.png", "no file"]),
    "a link to the folder above": (lambda c: (c / "c.png").symlink_to(c.parent), ["c.png", "no file"]),
    "a text called an image": (lambda c: (c / "c.png").write_text("<svg/>"), ["c.png is not a readable image"]),
    "an empty image": (lambda c: (c / "c.png").touch(), ["c.png is not a readable image"]),
    "a truncated image": (
        lambda c: (c / "c.png").write_bytes((c / "a.png").read_bytes()[:40]),
        ["c.png is not a readable image"],
    ),
    "16-bit pixels": (lambda c: Image.new("I;16", (2, 3)).save(c / "c.png"), ["c.png has the mode I;16"]),
    "another size": (lambda c: Image.new("L", (3, 3)).save(c / "c.png"), ["c.png is (3, 3)", "(3, 2)"]),
    "colour among grey": (lambda c: Image.new("RGB", (2, 3)).save(c / "c.png"), ["c.png is (3, 2, 3)"]),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_a_folder_of_images_that_holds_something_else(kind, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("L", (2, 3)).save(tmp_path / name / "a.png")
    spoil, held = IMAGES[kind]
    spoil(tmp_path / "dog")
    entry = {"source": "folder", "path": str(tmp_path)}
    refused(lambda: datasets.load("pics", entry), ["datasets.pics.path", *held], tmp_path)


# --- activations -----------------------------------------------------------------------------------------------

ODD = """
import torch
from torch import nn


class Raises(nn.Module):
    def forward(self, x):
        raise KeyError("no\\nluck")


class NotANumber(nn.Module):
    def forward(self, x):
        return x.sqrt()


class Larger(nn.Module):
    def forward(self, x):
        return torch.cat([x, x])


class InPlace(nn.Module):
    def forward(self, x):
        return x.clamp_(min=0)


class Centred(nn.Module):
    def forward(self, x):
        return x - x.mean(0)


class NoGradient(nn.Module):
    def forward(self, x):
        return x.round()


class Numpy(nn.Module):
    def forward(self, x):
        return torch.from_numpy(x.detach().numpy() ** 3)


class Unfinished(nn.Module):
    pass


class Lazy(nn.Module):
    def __init__(self):
        self.weight = nn.Parameter(torch.ones(1))


class Whole(nn.Module):
    def forward(self, x):
        return x.long()


class Nothing(nn.Module):
    def forward(self, x):
        pass


def function(x):
    return x
"""
ENTRIES = {
    "raises": ({"module": "odd_input:Raises"}, ["fails on an input", "KeyError"]),
    "gives NaN": ({"module": "odd_input:NotANumber"}, ["its value at x = -30 is nan"]),
    "gives another shape": ({"module": "odd_input:Larger"}, ["[121, 2] into [242, 2]"]),
    "works in place": ({"module": "odd_input:InPlace"}, ["inplace"]),
    "depends on other samples": ({"module": "odd_input:Centred"}, ["depends on other samples"]),
    "has no gradient": ({"module": "odd_input:NoGradient"}, ["derivative is zero everywhere"]),
    "leaves PyTorch": ({"module": "odd_input:Numpy"}, ["cannot be differentiated"]),
    "has no forward": ({"module": "odd_input:Unfinished"}, ["fails on an input"]),
    "forgets its parent": ({"module": "odd_input:Lazy"}, ["cannot be built", "AttributeError"]),
    "gives integers": ({"module": "odd_input:Whole"}, ["torch.float32 into torch.int64"]),
    "gives nothing": ({"module": "odd_input:Nothing"}, ["into NoneType"]),
    "is a function": ({"module": "odd_input:function"}, ["not a class derived from torch.nn.Module"]),
    "is missing": ({"module": "odd_input:Missing"}, ["cannot be imported", "AttributeError"]),
    "is no Python": ({"module": "odd_syntax:Any"}, ["cannot be imported", "SyntaxError"]),
    "no such class": ({"class": "SuperReLU"}, ["torch.nn has no class 'SuperReLU'"]),
    "a class that is a function": ({"class": "functional"}, ["torch.nn has no class 'functional'"]),
    "wrong argument": ({"class": "ELU", "beta": 1}, ["cannot be built", "beta"]),
    "an argument that is self": ({"class": "ReLU", "self": 1}, ["cannot be built", "self"]),
    "an argument out of range": ({"class": "Hardtanh", "min_val": 1, "max_val": -1}, ["cannot be built", "max_val"]),
    "a layer larger than memory": (
        {"class": "Linear", "in_features": 10**9, "out_features": 10**9},
        ["cannot be built", "memory"],
    ),
    "a recurrent layer": ({"class": "LSTM", "input_size": "width", "hidden_size": "width"}, ["into tuple"]),
    "a division by zero": ({"class": "Softplus", "beta": 0}, ["its value at x = -30 is inf"]),
}


@pytest.mark.parametrize("kind", ENTRIES)
def test_an_activation_that_is_none(kind, tmp_path, monkeypatch):
    entry, held = ENTRIES[kind]
    (tmp_path / "odd_input.py").write_text(ODD, encoding="utf-8")
    (tmp_path / "odd_syntax.py").write_text("class Any(:\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    refused(lambda: from_entry("mine", entry), ["activations.mine", *held], tmp_path)


@pytest.mark.parametrize("expression", ["relu(x - 25)", "maximum(x, 29) - 29"])
def test_an_activation_that_is_zero_where_it_matters(expression, tmp_path):
    from activation_study import portraits

    activation = from_entry("mine", {"expression": expression})
    refused(lambda: portraits.description(activation), ["activations.mine", "no gain"], tmp_path)


# --- claims ------------------------------------------------------------------------------------------------------

CLAIM = """
claims:
  - id: mine
    quote: ReLU beats tanh.
    rows:
      - {test: both, type: difference, experiment: core, metric: test_accuracy,
         arms: [{activation: relu}, {activation: tanh}], smallest: 0.01, reason: a point}
"""
CLAIMS = {
    "a smallest effect that is no number": (("smallest: 0.01", "smallest: .nan"), ["smallest", "finite number"]),
    "a smallest effect without end": (("smallest: 0.01", "smallest: .inf"), ["smallest", "finite number"]),
    "a key twice": (("smallest: 0.01", "smallest: 0.01, smallest: 0"), ["'smallest'", "stands there twice"]),
    "a date as a quote": (("ReLU beats tanh.", "2020-01-02"), ["quote", "must be text"]),
    "a negative smallest effect": (("smallest: 0.01", "smallest: -1"), ["smallest", "-1"]),
    "an unknown key": (("test: both", "tset: both"), ["claim mine", "tset"]),
    "an unknown metric": (("test_accuracy", "accuracy"), ["metric", "'accuracy'"]),
    "an unknown type": (("difference", "differs"), ["type", "differs"]),
    "a factor that is none": (("{activation: relu}", "{activations: relu}"), ["'activations' is no factor"]),
    "one arm": (("{activation: relu}, ", ""), ["arms", "two arms"]),
    "no reason": ((", reason: a point", ""), ["reason"]),
    "an id that is a path": (("id: mine", "id: ../mine"), ["id", "../mine"]),
    "a control character": (("ReLU beats tanh.", '"\\e[31m"'), ["quote", "control character"]),
}


@pytest.mark.parametrize("kind", CLAIMS)
def test_claims_that_cannot_be_judged(kind, tmp_path):
    (old, new), held = CLAIMS[kind]
    assert old in CLAIM
    path = tmp_path / "mine.yaml"
    path.write_text(CLAIM.replace(old, new), encoding="utf-8")
    refused(lambda: claims.read(path), [str(path), *held], tmp_path)


def test_claims_on_what_the_study_does_not_have(tmp_path):
    path = tmp_path / "mine.yaml"
    for old, new, held in (
        ("experiment: core", "experiment: cor", "'cor' is none of core"),
        ("{activation: relu}", "{activation: rleu}", "no run of core has activation=rleu"),
    ):
        path.write_text(CLAIM.replace(old, new), encoding="utf-8")
        experiments = {"core": CORE | {"activation": ["relu", "tanh"]}}
        config = Study.from_config(small.config(claims=[str(path)], experiments=experiments)).config
        refused(lambda config=config: claims.of_study(config), ["claim mine", held], tmp_path)


# --- the command -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "held"),
    [
        (SMALL + "study: another\n", "study.yaml: line"),
        (SMALL.replace("path: blobs.npz", "path: blobs.npz\n    path: b.npz"), "the key 'path' stands there twice"),
        ("study: small\n", "error: config: the key activations, datasets, experiments is missing"),
        (SMALL + "claims: [nowhere.yaml]\n", "error: nowhere.yaml: cannot be read as YAML"),
    ],
)
def test_the_command_says_one_line_and_writes_nothing(text, held, tmp_path):
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "config.yaml").write_text(SMALL, encoding="utf-8")
    options = ["--snakefile", str(ROOT / "Snakefile"), "--profile", str(ROOT / "profiles" / "default")]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *options, "--configfile", "study.yaml", "--cores", "1"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith(("Using", "Config"))]
    assert done.returncode == 1, said
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert held in said[0]
    assert not (tmp_path / "results").exists()
