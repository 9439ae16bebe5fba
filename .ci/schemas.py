"""Writes the JSON schemas of the files that people write, for their editors, from the models that read them.

python .ci/schemas.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from activation_study.claims.rows import File
from activation_study.core.models import Model
from activation_study.study.config import Config

ROOT = Path(__file__).resolve().parents[1] / "src" / "activation_study"
MODELS: dict[Path, type[Model]] = {
    ROOT / "study" / "config.schema.yaml": Config,
    ROOT / "claims" / "claims.schema.yaml": File,
}


def untitled(spec: Any) -> Any:
    """Without the titles that pydantic makes of names."""
    if isinstance(spec, dict):
        return {key: untitled(value) for key, value in spec.items() if key != "title" or isinstance(value, dict)}
    return [untitled(item) for item in spec] if isinstance(spec, list) else spec


def text(model: type[Model]) -> str:
    """The schema of a model, as YAML; the model itself comes before what it is made of."""
    schema = untitled(model.model_json_schema())
    parts = schema.pop("$defs")
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "$defs": parts}
    plain = json.loads(json.dumps(schema))  # what stands twice is written twice, not as an alias
    yaml_text = yaml.safe_dump(plain, sort_keys=False, width=120, allow_unicode=True, default_flow_style=None)
    return f"# Written by .ci/schemas.py.\n{yaml_text}"


if __name__ == "__main__":
    for path, model in MODELS.items():
        path.write_text(text(model), encoding="utf-8")
