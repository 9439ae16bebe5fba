"""A catalogue of bad data files and activations: each is refused in one line that names the key, and leaves nothing."""

import os
import socket
import struct
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from activation_study.activations.activation import from_entry
from activation_study.data import entries, prepare
from refusal import refused

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
    "labels as dates": (lambda p: _saved(p, x=X, y=Y.astype("M8[s]")), ["y has the type", "integer"]),
    "one-hot labels": (lambda p: _saved(p, x=X, y=np.eye(2, dtype=int)[Y]), ["y (6, 2)"]),
    "labels as numbers with a point": (lambda p: _saved(p, x=X, y=Y / 1.0), ["y has the type float64", "integer"]),
    "one class": (lambda p: _saved(p, x=X, y=Y * 0), ["at least two classes"]),
    "an empty set": (lambda p: _saved(p, x=X[:0], y=Y[:0]), ["not empty"]),
    "a value that is missing": (lambda p: _saved(p, x=np.where(X == 6, np.nan, X), y=Y), ["sample 1, feature 2"]),
    "a text file": (lambda p: p.write_text("x,y\n1,2\n"), ["not a readable .npz"]),
    "an npy file": (lambda p: p.write_bytes(_npy("'<f8'", "(1,)", bytes(8))), ["not a readable .npz"]),
    "a folder": (lambda p: p.mkdir(), ["is not a file"]),
    "a pipe": (os.mkfifo, ["is not a file"]),
    "a link to nothing": (lambda p: p.symlink_to("nowhere"), ["is not a file"]),
    "a link to itself": (lambda p: p.symlink_to(p), ["datasets.mine.path"]),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_that_is_none(kind, tmp_path):
    make, held = ARCHIVES[kind]
    path = tmp_path / "a.npz"
    make(path)
    entry = {"source": "npz", "path": str(path)}
    refused(lambda: prepare.load("mine", entry), ["datasets.mine", *held], tmp_path)


@pytest.mark.parametrize(
    ("path", "held"),
    [
        ("x" * 300, "datasets.mine.path"),
        ("~no-such-user/a.npz", "~no-such-user"),
        ("/dev/zero", "/dev/zero is not a "),
    ],
)
def test_a_path_that_is_none(path, held, tmp_path):
    for source in ("npz", "folder"):
        entry = {"source": source, "path": path}
        refused(lambda entry=entry: prepare.load("mine", entry), [held], tmp_path)
        entries.fingerprint(entry)  # asked for while Snakemake plans: what is wrong is the job's to say


def _socket(path):
    with socket.socket(socket.AF_UNIX) as own:
        own.bind(str(path))


IMAGES = {
    "a pipe": (lambda c: os.mkfifo(c / "c.png"), ["c.png", "not a file"]),
    "a socket": (lambda c: _socket(c / "c.png"), ["c.png", "not a file"]),
    "a link out of the folder": (lambda c: (c / "c.png").symlink_to("/etc/hostname"), ["is a link", "outside"]),
    "a link to nothing": (lambda c: (c / "c.png").symlink_to("nowhere.png"), ["c.png", "not a file"]),
    "a link to the folder above": (lambda c: (c / "c.png").symlink_to(c.parent), ["c.png", "not a file"]),
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
    refused(lambda: prepare.load("pics", entry), ["datasets.pics.path", *held], tmp_path)


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


class Huge(nn.Linear):
    def __init__(self):
        super().__init__(10**9, 10**9)


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
    "no such class": ({"class": "SuperReLU"}, ["'SuperReLU' is not an activation class of torch.nn", "by {module:"]),
    "a class that is a function": ({"class": "functional"}, ["'functional' is not an activation class of torch.nn"]),
    "wrong argument": ({"class": "ELU", "beta": 1}, ["cannot be built", "beta"]),
    "an argument that is self": ({"class": "ReLU", "self": 1}, ["cannot be built", "self"]),
    "an argument out of range": ({"class": "Hardtanh", "min_val": 1, "max_val": -1}, ["cannot be built", "max_val"]),
    "a layer larger than memory": ({"module": "odd_input:Huge"}, ["cannot be built", "memory"]),
    "a recurrent layer": ({"module": "torch.nn:LSTM", "input_size": "width", "hidden_size": "width"}, ["into tuple"]),
    "a recurrent layer as a class": ({"class": "LSTM", "num_layers": 10**6}, ["'LSTM' is not an activation class"]),
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
    from activation_study.activations import portrait

    activation = from_entry("mine", {"expression": expression})
    refused(lambda: portrait.description(activation), ["activations.mine", "no gain"], tmp_path)
