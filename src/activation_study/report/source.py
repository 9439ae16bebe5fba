"""Where what a page rests on is written: lines of claims files and of code, and the page itself as a work to cite."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from markupsafe import Markup

from activation_study.claims.rows import ARTICLE

PACKAGE = "activation_study"
TITLE = "Which activation function should I use, and why? A reproducible study"
AUTHORS = "The activation_study authors"
"""As CITATION.cff has them, which no wheel holds."""
REVISION = re.compile(r"(?:.*-g)?(?P<commit>[0-9a-f]{7,40})")


@dataclass(frozen=True)
class Source:
    """A repository's address ("" for none), and the commit that the study is of ("" where files differed from it)."""

    repository: str
    commit: str

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> Source:
        found = REVISION.fullmatch(str(provenance.get("code")))
        return cls((provenance.get("repository") or "").rstrip("/"), found["commit"] if found else "")

    def line(self, path: str, number: int) -> Markup:
        """A line of a file of the repository, linked where it is known which that is."""
        said = Markup("<code>{}</code>, line {}").format(path, number)
        if not (self.repository and self.commit):
            return said
        return Markup('<a href="{}/blob/{}/{}#L{}">{}</a>').format(self.repository, self.commit, path, number, said)

    def function(self, module: str, name: str) -> tuple[Markup, str]:
        """A function, as `function("claims.rules", "holding")`: the line at which it begins, and its text; both "" if
        there is none."""
        line, text = _definitions(module).get(name, (0, ""))
        if not text:
            return Markup(""), ""
        return self.line(f"src/{PACKAGE}/{module.replace('.', '/')}.py", line), text

    def version(self, code: str) -> Markup:
        """The version of the code, linked where it is a commit."""
        if not (self.repository and self.commit):
            return Markup("{}").format(code)
        return Markup('<a href="{}/tree/{}">{}</a>').format(self.repository, self.commit, code)


@cache
def _definitions(module: str) -> dict[str, tuple[int, str]]:
    """A module's functions: the line, from 1, at which each begins, and its text."""
    package, _, name = f"{PACKAGE}.{module}".rpartition(".")
    text = resources.files(package).joinpath(f"{name}.py").read_text(encoding="utf-8")
    functions = (node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))
    return {node.name: (node.lineno, ast.get_source_segment(text, node) or "") for node in functions}


def in_repository(path: str) -> str:
    """A file's path from the root of the checkout that this package lies in; "" where it is not in one."""
    root, file = ARTICLE.parent, Path(path).resolve()
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else ""


def bibtex(study: str, provenance: Mapping[str, Any], year: str) -> str:
    """The page as an entry of BibTeX, without what is not known."""
    version = f"{metadata.version('activation-study')}, code {provenance.get('code', 'unknown')}"
    fields = {
        "title": f"{{{TITLE}}}",
        "author": f"{{{AUTHORS}}}",
        "year": year,
        "version": version,
        "note": f"Study {study}",
        "url": provenance.get("repository"),
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@software{{activation-study-{study},", *lines, "}"])
