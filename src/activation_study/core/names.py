"""Names that become folders."""

from __future__ import annotations

from typing import Annotated

from activation_study.core.models import matching

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
"""The pattern of a name: of a study, an activation, a dataset, an experiment, a claims file."""
Name = Annotated[str, matching(NAME, "must be letters, digits, '_' and '-' only, at most 64")]
"""A name that becomes a folder."""
