"""A user's own module, ``{module: "package.module:Class"}``: one way to find it, for the workflow, digests and import.

It is looked for in the working directory first, then among the installed packages, and nothing is run to find it.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.util
import io
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from activation_study.core.errors import StudyError, lacks_memory
from activation_study.core.text import one_line, plain, shown


def files(entry: Mapping[str, Any]) -> list[Path]:
    """The Python file behind a ``module`` entry, and those of one's own that it imports; none for the other kinds.

    Of what Python or the installed packages bring, the file itself counts, not what that imports; nothing of this
    package, as its code counts by its steps.

    Raises:
        StudyError: one of the names is also that of a module of Python's or of an installed package.
    """
    if "module" not in entry:
        return []
    name = entry["module"].partition(":")[0]
    found: dict[Path, None] = {}
    waiting, seen, ours = _with_parents(name), set(), {}
    while waiting:
        module = waiting.pop()
        top = module.partition(".")[0]
        if top == __name__.partition(".")[0]:
            continue
        if top not in ours:
            spec = _find(top)
            ours[top] = spec is not None and not _installed(spec)
        if module in seen or not (ours[top] or top == name.partition(".")[0]):
            continue
        seen.add(module)
        spec = _find(module)
        if spec is None or not spec.has_location or spec.origin is None:
            continue  # a folder without __init__.py, or nothing: the job that imports it says what is wrong
        found[Path(spec.origin)] = None
        if ours[top]:
            waiting += _imported(module, Path(spec.origin), package=spec.submodule_search_locations is not None)
    return sorted(found)


def digest(entry: Mapping[str, Any]) -> str:
    """SHA-256 over those files, names and contents; "" for the other kinds."""
    own = files(entry)
    if not own:
        return ""
    total = hashlib.sha256()
    for file in own:
        try:
            total.update(f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
        except OSError as error:
            raise StudyError(f"{plain(file)}: cannot be read ({error.strerror})") from None
    return total.hexdigest()


def load(text: str) -> Any:
    """The object that ``"package.module:Name"`` stands for.

    Raises:
        StudyError: it cannot be found or imported, its name hides another module, or it ends the program.
    """
    name, _, attribute = text.partition(":")
    spec = _find(name)
    if spec is None:
        where = f"{plain(Path.cwd())} or among the installed packages"
        raise StudyError(f"module {shown(text)}: {shown(name)} is not found in {where}")
    files({"module": text})  # refuses what hides another module
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # and it stays: a module may import another when it is called
    if getattr(sys.modules.get(name), "__file__", spec.origin) != spec.origin:
        del sys.modules[name]  # of another folder
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            module = importlib.import_module(name)
        sys.stderr.write(printed.getvalue())
        return getattr(module, attribute)
    except SystemExit:  # what it printed, such as how to use it, would hide the line that helps
        raise StudyError(
            f"module {shown(text)}: importing it ends the program, as a script that reads its command line does; "
            "put that part under: if __name__ == '__main__'"
        ) from None
    except Exception as error:
        if lacks_memory(error):
            raise
        kind = type(error).__name__
        raise StudyError(f"module {shown(text)} cannot be imported: {kind}: {one_line(error, 160)}") from None


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _find(module: str) -> importlib.machinery.ModuleSpec | None:
    """Where the module lies; its packages are not imported for it, as importlib.util.find_spec would."""
    top, *rest = _with_parents(module)
    here = importlib.machinery.PathFinder.find_spec(top, [str(Path.cwd())])
    others = [path for path in sys.path if path and Path(path).resolve() != Path.cwd()]
    elsewhere = _search(top, others)
    if here is not None and here.origin is not None:
        if top in sys.stdlib_module_names or (elsewhere and _installed(elsewhere)):
            raise StudyError(
                f"{plain(here.origin)}: has the name of {shown(top)}, a module that Python or another package needs; "
                "give the file another name"
            )
        spec: importlib.machinery.ModuleSpec | None = here
    else:
        spec = elsewhere or here  # here: a folder without __init__.py counts only if nothing else has the name
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    for name in rest:
        if not folders:
            return None
        spec = _search(name, folders)
        if spec is None or spec.origin is None:  # a folder without __init__.py: Python needs its parent imported
            last = name.rpartition(".")[2]
            folders = [str(Path(folder, last)) for folder in folders if Path(folder, last).is_dir()]
        else:
            folders = list(spec.submodule_search_locations or [])
    return spec


def _search(name: str, path: list[str]) -> importlib.machinery.ModuleSpec | None:
    """By Python's own finders, those of editable installations included."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if find is None:
            continue
        spec: importlib.machinery.ModuleSpec | None = None
        try:
            spec = find(name, path) if finder is importlib.machinery.PathFinder or "." in name else find(name, None)
        except Exception:  # of somebody's finder: the import itself will say it
            continue
        if spec is not None:
            return spec
    return None


def _installed(spec: importlib.machinery.ModuleSpec) -> bool:
    """Whether it belongs to Python or to an installed package."""
    if spec.origin is None or not spec.has_location:
        return spec.submodule_search_locations is None  # built in; else a folder without __init__.py
    return any(Path(spec.origin).resolve().is_relative_to(place) for place in _places())


@functools.cache
def _places() -> frozenset[Path]:
    """Where Python and packages are installed; links, as environments hold them, followed."""
    paths = sysconfig.get_paths()
    places = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    places |= {*site.getsitepackages(), site.getusersitepackages()}
    return frozenset(Path(place).resolve() for place in places)


def _imported(module: str, file: Path, *, package: bool) -> Iterator[str]:
    """The names that a file's import statements hold, wherever they stand, absolute, with their packages."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # an extension module, or ill-formed
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".") if package else module.split(".")[:-1]
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join([*parts, *([base] if base else [])])
            if base:
                yield from _with_parents(base)
                yield from (f"{base}.{alias.name}" for alias in node.names)  # a module, or a name in one
