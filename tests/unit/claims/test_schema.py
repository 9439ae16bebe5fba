"""The published JSON schema of a claims file is that of the models."""

from importlib import resources

import yaml

from activation_study.claims.rows import File

SCHEMA = resources.files("activation_study.claims") / "claims.schema.yaml"


def test_the_schema_is_that_of_the_models():
    """Made by `yaml.safe_dump(File.model_json_schema(), sort_keys=False, width=120, allow_unicode=True)`."""
    assert yaml.safe_load(SCHEMA.read_text(encoding="utf-8")) == File.model_json_schema()
