"""The one place that makes markup from parts; everything else fills a template, or a constant `Markup`, by format().

A name, a quote or a number that stands in a page is text there, whoever wrote it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable

from markupsafe import Markup


def element(tag: str, content: str = "", /, **attributes: object) -> Markup:
    """An element with its attributes, in whose names `_` stands for `-`. Content that is not Markup is escaped."""
    said = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items()
    )
    if content:
        return Markup("<{0}{1}>{2}</{0}>").format(tag, said, content)
    return Markup("<{}{}/>").format(tag, said)


def slug(name: str) -> str:
    """A part of an id or of a file's name: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unnamed"


def slugs(names: Iterable[str]) -> dict[str, str]:
    """A stable slug for each name, at most 90 characters: files are called so.

    One that is long, or the same as that of a name before it in the alphabet, ends on a part of its hash.
    """
    found: dict[str, str] = {}
    for name in sorted(set(names)):
        found[name] = stem = slug(name)
        if len(stem) > 80 or list(found.values()).count(stem) > 1:
            found[name] = f"{stem[:80].strip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return found


def policy(script: str, style: str) -> str:
    """A content-security policy for a page with this script and this style sheet: nothing else runs or is asked for."""
    return (
        f"default-src 'none'; script-src '{_sha256(script)}'; style-src '{_sha256(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _sha256(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
