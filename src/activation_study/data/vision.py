"""torchvision's datasets: which of them may be used, what they need, and what their readers may not do."""

import contextlib
import importlib.util
import inspect
import io
import math
import pickle
import socket
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from activation_study.core.errors import StudyError
from activation_study.core.text import one_line, plain, shown

# Arguments of torchvision classes that are the study's to give.
RESERVED_ARGUMENTS = {"root", "train", "download", "transform", "target_transform", "transforms", "loader"}
# Reviewed for torchvision 0.29. Class → the package that it needs beside torchvision's own requirements.
# Whatever these download has a checksum in torchvision; FakeData is made up on the spot.
CHECKED = dict.fromkeys(
    (
        *("CIFAR10", "CIFAR100", "CLEVRClassification", "Caltech101", "Caltech256", "Country211", "DTD", "EMNIST"),
        *("EuroSAT", "FER2013", "FakeData", "FashionMNIST", "Food101", "GTSRB", "INaturalist", "Imagenette", "KMNIST"),
        *("MNIST", "Omniglot", "OxfordIIITPet", "Places365", "QMNIST", "RenderedSST2", "SEMEION", "STL10", "SUN397"),
        "USPS",
    ),
    "",
) | {"Flowers102": "scipy", "ImageNet": "scipy", "PCAM": "h5py", "SVHN": "scipy"}
UNCHECKED = {"FGVCAircraft": "", "StanfordCars": "scipy"}
FOLDERS = {"ImageFolder", "DatasetFolder"}
UNUSABLE = {
    "LSUN": "it unpickles a file that lies beside the data",
    "LSUNClass": "it unpickles a file that lies beside the data",
    "CelebA": "its labels are 40 attributes, not classes",
    "LFWPeople": "the people of its test part are not those of its training part",
} | dict.fromkeys(
    (
        *("CREStereo", "CarlaStereo", "Cityscapes", "CocoCaptions", "CocoDetection", "ETH3DStereo", "Flickr30k"),
        *("FallingThingsStereo", "Flickr8k", "FlyingChairs", "FlyingThings3D", "HD1K", "HMDB51", "InStereo2k"),
        *("Kinetics", "Kitti", "Kitti2012Stereo", "Kitti2015Stereo", "KittiFlow", "LFWPairs", "Middlebury2014Stereo"),
        *("MovingMNIST", "PhotoTour", "SBDataset", "SBU", "SceneFlowStereo", "Sintel", "SintelStereo", "UCF101"),
        *("VOCDetection", "VOCSegmentation", "VisionDataset", "WIDERFace"),
    ),
    "it is not one of images with a class each",
)
HELD_OUT = {"CLEVRClassification": "val"}
"""Where the part called "test" has no labels."""
LONGEST_NAME = 1_000
"""Characters of a name in an archive; paths near the system's limit are not resolved as they are opened."""


def checked_class(name: str, arguments: dict[str, Any], key: str, *, allow_unchecked: bool = False) -> type:
    """The class, when it may be used with these arguments; no data are touched and no network is asked.

    Raises:
        StudyError: `key`, for an unknown class or one of another kind, a missing package, wrong arguments.
    """
    if name in FOLDERS:
        place = shown(arguments["root"]) if "root" in arguments else "data/images"
        raise StudyError(f"{key}.class: {name} is written as source: folder, path: {place}")
    if name in UNUSABLE:
        raise StudyError(f"{key}.class: {name} cannot be used: {UNUSABLE[name]}")
    from torchvision import datasets

    cls = getattr(datasets, name, None)
    if not (inspect.isclass(cls) and issubclass(cls, datasets.VisionDataset)):
        raise StudyError(
            f"{key}.class: {shown(name)} is not a torchvision dataset; FashionMNIST or CIFAR10 are examples"
        )
    if name not in CHECKED and not allow_unchecked:
        raise StudyError(
            f"{key}.class: the files of {name} have no checksum in torchvision; allow_unchecked: true uses them "
            f"all the same"
        )
    needed = (CHECKED | UNCHECKED).get(name, "")
    if needed and importlib.util.find_spec(needed) is None:
        raise StudyError(f"{key}.class: {name} needs the package {needed}, which is not installed")
    allowed = {given: value for given, value in parameters(cls).items() if given not in RESERVED_ARGUMENTS}
    for given in arguments:
        if given not in allowed:
            known = ", ".join(allowed) or "none"
            raise StudyError(f"{key}.{plain(given)}: {name} has no such argument; it takes {known}")
    for wanted, parameter in allowed.items():
        if parameter.default is parameter.empty and wanted not in arguments:
            raise StudyError(f"{key}.{wanted}: is missing; torchvision's {name} needs it")
    if name == "FakeData":
        _check_made_up(allowed, arguments, key)
    # A class looks at its arguments before it finds that an empty folder holds no data.
    with tempfile.TemporaryDirectory() as empty, guarded(), offline():
        try:
            construct(cls, arguments, Path(empty), download=False)
        except (TypeError, ValueError) as error:
            raise StudyError(f"{key}: torchvision refuses {described(name, arguments)}: {one_line(error)}") from error
        except Exception:
            pass
    return cls


def construct(cls: type, arguments: dict[str, Any], root: Path, *, download: bool, **more: Any) -> Any:
    """One part of a dataset, without progress bars."""
    takes = parameters(cls)
    common = arguments | {k: v for k, v in {"root": root, "download": download}.items() if k in takes}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return cls(**common, **more)


def parameters(cls: type) -> dict[str, inspect.Parameter]:
    """The arguments of a class, with those that its **kwargs hand to its parent."""
    found: dict[str, inspect.Parameter] = {}
    for ancestor in cls.__mro__:
        own = inspect.signature(ancestor.__init__).parameters  # type: ignore[misc]
        found = own | found
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values()):
            break
    return {name: value for name, value in found.items() if name not in ("self", "args", "kwargs")}


def described(name: str, arguments: dict[str, Any]) -> str:
    """As Python would call it, for messages and the report."""
    return f"{name}({', '.join(f'{plain(key)}={plain(value)}' for key, value in sorted(arguments.items()))})"


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Keeps torchvision's readers from writing outside their folder, running a pickle, starting Ghostscript.

    It unpacks by `tarfile`, reads CIFAR by `pickle` and images by Pillow; for the time of the block these three are
    replaced by careful ones.
    """
    from unittest import mock  # which takes as long to import as all else here, as does NumPy with these two

    from PIL import Image

    from activation_study.data import photos, plain_pickles

    opened = Image.open
    with (
        mock.patch.object(tarfile.TarFile, "extraction_filter", staticmethod(_own_files), create=True),
        mock.patch.object(pickle, "load", plain_pickles.load),
        mock.patch.object(Image, "open", lambda file, mode="r", formats=None: opened(file, mode, photos.FORMATS)),
    ):
        yield


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """No connection is made: what asks for one fails at once."""

    from unittest import mock

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("not in its folder")

    with mock.patch.object(socket, "getaddrinfo", refuse):
        yield


def _own_files(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
    """Python's `data` filter for archives without links, which some of its versions let lead out of the folder."""
    if member.issym() or member.islnk():
        raise tarfile.FilterError(f"the archive holds a link, {plain(member.name)}, which is refused")
    if len(member.name) > LONGEST_NAME:
        raise tarfile.FilterError(f"the archive holds a name of {len(member.name)} characters, which is refused")
    return tarfile.data_filter(member, path)


def _check_made_up(allowed: dict[str, inspect.Parameter], arguments: dict[str, Any], key: str) -> None:
    given = {name: arguments.get(name, allowed[name].default) for name in ("size", "image_size", "num_classes")}
    for name, value in given.items():
        numbers = value if isinstance(value, list | tuple) and name == "image_size" else [value]
        if not numbers or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in numbers):
            raise StudyError(f"{key}.{name}: {shown(value)} is wrong; whole numbers above 0 are needed")
    values = given["size"] * math.prod(given["image_size"])
    if values > 2**28:
        raise StudyError(f"{key}.size: FakeData would make up {shown(values)} values; at most {2**28} are")
