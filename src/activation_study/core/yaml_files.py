"""YAML that somebody else wrote, as plain values: within bounds of time and memory, and one line for every fault.

A few hundred bytes of aliases and merge keys stand for more values than there are atoms: what a file would become is
counted while its nodes are composed, before any of them is built.
"""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import Resolver
from yaml.scanner import Scanner

from activation_study.core.errors import StudyError
from activation_study.core.text import plain, shown

MAX_BYTES = 1_000_000
MAX_VALUES = 10_000  # the default study has 453, the article's claims 1,400
MAX_CHARACTERS = 1_000_000  # of all texts together, aliases counted
MAX_TEXT = 10_000
MAX_KEY = 200
MAX_DEPTH = 20
MAX_NUMBER = 400  # characters: Python's time for an integer grows with their square
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
# libyaml compares each directive with all before it: a megabyte of them takes it a quarter of a minute.
_DIRECTIVE = re.compile("(?:\\A\ufeff?|[\n\r\x85\u2028\u2029])%")
# Blanks but the space, C0, C1, the soft hyphen, marks of direction, what has no width, surrogates, tags. The joiners
# U+200C and U+200D stay: Persian and Hindi are written with them.
_CONTROL = re.compile(
    r"[^\S \n\t]|[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


class _Bounded(Composer, SafeConstructor, Resolver):
    """YAML's plain values, made of a parser's events. Of two equal keys YAML keeps the second without a word: here
    they are refused, as are more values or characters than a study can need."""

    peek_event: Callable[[], Any]  # these two are the parser's
    check_event: Callable[..., bool]

    def _begin(self) -> None:
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self._depth = self._nodes = 0
        self._sizes: dict[yaml.Node, tuple[int, int]] = {}  # values and characters, aliases counted

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        self._nodes += 1
        self._depth += 1
        where = f"cannot be read as YAML: line {self.peek_event().start_mark.line + 1}"
        _bound(where, self._nodes, 0, self._depth)
        alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        assert node is not None  # composers ask for a node only where an event begins one
        self._depth -= 1
        if not alias:
            self._sizes[node] = self._size(node)
        elif node not in self._sizes:
            raise StudyError(f"{where}: an alias lies inside of what it names, and so is nested too deeply")
        _bound(where, *self._sizes[node], self._depth)
        return node

    def _size(self, node: yaml.Node) -> tuple[int, int]:
        if isinstance(node, yaml.ScalarNode):
            if len(node.value) > MAX_NUMBER and not node.tag.endswith((":str", ":binary")):
                what = f"a number of {len(node.value)} characters; the limit is {MAX_NUMBER}"
                raise ConstructorError(None, None, what, node.start_mark)
            return 1, len(node.value)
        pairs = node.value if isinstance(node, yaml.MappingNode) else [(inside,) for inside in node.value]
        sizes = [self._sizes[inside] for pair in pairs for inside in pair[-1:]]
        keys = sum(self._sizes[pair[0]][1] for pair in pairs if len(pair) > 1)
        return 1 + sum(values for values, _ in sizes), keys + sum(characters for _, characters in sizes)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise StudyError(f"line {line}: the key {shown(key.value)} is given twice; remove one")
                seen.add(key.value)
        return node


class PythonLoader(_Bounded, Reader, Scanner, Parser):
    """Where PyYAML came without libyaml."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        self._begin()


Loader: type = PythonLoader
if yaml.__with_libyaml__:
    from yaml._yaml import CParser

    class Loader(_Bounded, CParser):  # type: ignore[no-redef]
        """Ten to a hundred times as fast: a comment of a megabyte takes Python half a second."""

        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            self._begin()


def read(path: str | Path) -> dict[str, Any]:
    """A YAML file's mapping of plain values. Raises :class:`StudyError`, which shows little of what the file holds."""
    try:
        content = parsed(_text(path))
        if not isinstance(content, dict):
            raise StudyError(f"must hold a mapping of keys, not {type(content).__name__}")
        check_plain(content)
    except StudyError as error:
        raise StudyError(f"{plain(path)}: {error}") from None
    return content


def parsed(text: str, loader: type | None = None) -> Any:
    """What the YAML text stands for. Raises :class:`StudyError`."""
    if found := _DIRECTIVE.search(text):
        line = text.count("\n", 0, found.end()) + 1
        raise StudyError(
            f"cannot be read as YAML: line {line} begins with %, as a directive does, which no file of a study needs; "
            "remove it, or indent the text that it belongs to"
        )
    try:
        return yaml.load(text, loader or Loader)
    except (StudyError, MemoryError):
        raise
    except Exception as error:  # PyYAML's constructors fail in many ways at a tag that does not fit its value
        raise StudyError(f"cannot be read as YAML: {_reason(error)}") from None


def _text(path: str | Path) -> str:
    """The text of a regular file: a pipe would wait for ever, a device has no end."""
    data = b""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise StudyError("cannot be read as YAML: it is not a regular file")
            while len(data) <= MAX_BYTES and (part := os.read(file, MAX_BYTES + 1 - len(data))):
                data += part
        finally:
            os.close(file)
        if len(data) > MAX_BYTES:
            raise StudyError(f"cannot be read as YAML: it has more than {MAX_BYTES} bytes")
        return data.decode("utf-8")
    except StudyError:
        raise
    except UnicodeDecodeError as error:
        raise StudyError(f"cannot be read as YAML: byte {error.start} is not UTF-8") from None
    except OSError as error:
        raise StudyError(f"cannot be read as YAML: {error.strerror}") from None
    except ValueError:
        raise StudyError("cannot be read as YAML: its path holds a zero byte") from None


def _reason(error: Exception) -> str:
    """What is wrong and where, without the piece of the file that PyYAML would show."""
    if isinstance(error, ReaderError):
        return f"there is a character that YAML does not allow at position {error.position}"
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    parts = [plain(text, 100) for name in ("context", "problem") if (text := getattr(error, name, None))]
    return where + (", ".join(parts) or type(error).__name__)


def _bound(where: str, values: int, characters: int, depth: int, most: int = MAX_VALUES) -> None:
    if depth > MAX_DEPTH:
        raise StudyError(f"{where}: is nested too deeply: more than {MAX_DEPTH} levels")
    if values > most:
        raise StudyError(f"{where}: there are more than {most} values, which is the limit")
    if characters > MAX_CHARACTERS:
        raise StudyError(f"{where}: there are more than {MAX_CHARACTERS} characters of text, which is the limit")


def check_plain(value: Any, most: int = MAX_VALUES) -> None:
    """YAML also has dates, infinities, keys that are not text, and lists that hold themselves: none is allowed.

    Nor are characters that nobody sees, or more than `most` values. Raises :class:`StudyError`.
    """
    waiting: list[tuple[tuple[str, ...], Any]] = [((), value)]
    characters = 0
    for seen in itertools.count(1):
        if not waiting:
            return
        path, value = waiting.pop()
        if isinstance(value, str):
            characters += len(value)
        if seen > most or characters > MAX_CHARACTERS or len(path) > MAX_DEPTH:
            _bound(_key(path), seen, characters, len(path), most)
        if isinstance(value, Mapping):
            for name in value:
                _check_name(path, name)
                characters += len(name)
            waiting += [((*path, name), inside) for name, inside in reversed([*value.items()])]
        elif isinstance(value, list):
            waiting += [((*path, str(index)), inside) for index, inside in reversed([*enumerate(value)])]
        elif isinstance(value, str):
            _check_text(path, value)
        elif isinstance(value, int | float):
            if not abs(value) < 1e18:
                raise StudyError(f"{_key(path)}: {shown(value)} must be a finite number below 1e18")
        elif value is not None:
            raise StudyError(f"{_key(path)}: {shown(value)} must be text, a number, true or false")


def _key(path: tuple[str, ...]) -> str:
    return plain(".".join(path) or "config", 100)


def _check_name(path: tuple[str, ...], name: Hashable) -> None:
    if not isinstance(name, str):
        raise StudyError(f"{_key(path)}: the key {shown(name)} must be text; put it in quotes")
    if len(name) > MAX_KEY:
        raise StudyError(f"{_key(path)}: the key {shown(name)} has {len(name)} characters; the limit is {MAX_KEY}")
    if found := re.search("\n", name) or _CONTROL.search(name):
        code = f"U+{ord(found.group()):04X}"
        raise StudyError(f"{_key(path)}: the key {shown(name)} holds a control character, {code}; remove it")


def _check_text(path: tuple[str, ...], text: str) -> None:
    if len(text) > MAX_TEXT:
        raise StudyError(f"{_key(path)}: {shown(text)} has {len(text)} characters; the limit is {MAX_TEXT}")
    if found := _CONTROL.search(text):
        code = f"U+{ord(found.group()):04X}"
        raise StudyError(f"{_key(path)}: {shown(text)} holds a control character, {code}; remove it")
