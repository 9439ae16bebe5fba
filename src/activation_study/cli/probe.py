"""`activation-study probe`: what the activations of one's own model do on a batch of one's own data."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

from activation_study.core import own_modules
from activation_study.core.errors import StudyError, lacks_memory
from activation_study.core.text import one_line, plain, shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        help="my.py:Model or package.module:Model, called without arguments; its code is run, as you ask for it",
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="an npz with x [N, ...], as the model takes it, and y [N]"
    )
    parser.add_argument("--samples", type=int, default=256, help="how many of them, from the first; 256 if left out")


def main(arguments: argparse.Namespace) -> None:
    """Print a line per activation, and one of all. Raises :class:`StudyError` in one line."""
    if arguments.samples < 2:
        raise StudyError(f"--samples: {shown(arguments.samples)} must be at least 2")
    import torch

    from activation_study.data import local
    from activation_study.inspection.probing import probe

    raw = local.npz(arguments.data, "--data")
    if len(raw.x) != len(raw.y):
        raise StudyError(f"--data: x has {len(raw.x)} samples and y {len(raw.y)}")
    x, y = (torch.from_numpy(part[: arguments.samples].copy()) for part in (raw.x, raw.y))
    model = _model(arguments.model)
    if x.is_floating_point():
        x = x.to(next(model.parameters(), x).dtype)
    print(probe(model, (x, y if y.is_floating_point() else y.long())))


def _model(text: str) -> Any:
    from torch import nn

    place, _, name = text.rpartition(":")
    if not place or not name:
        raise StudyError(f"model: {shown(text)} must have the form my.py:Model or package.module:Model")
    found = _of_file(Path(place), name) if place.endswith(".py") else own_modules.load(text)
    if not isinstance(found, nn.Module):
        try:
            found = found()
        except Exception as error:  # there is no end to what one's own code may do
            if lacks_memory(error):
                raise
            reason = f"{type(error).__name__}: {one_line(error, 200)}"
            raise StudyError(f"model: {plain(text)} cannot be built without arguments: {reason}") from None
    if not isinstance(found, nn.Module):
        raise StudyError(f"model: {plain(text)} gives {shown(type(found).__name__)}, not an nn.Module")
    return found


def _of_file(path: Path, name: str) -> Any:
    """What a file calls so; its neighbours can be imported by it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise StudyError(f"model: {plain(path)} is not a file")
    sys.path.insert(0, str(path.resolve().parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
        return getattr(module, name)
    except Exception as error:
        if lacks_memory(error):
            raise
        reason = f"{type(error).__name__}: {one_line(error, 160)}"
        raise StudyError(f"model: {plain(path)} cannot be read: {reason}") from None
