"""The configs of other families of networks: what they ask for, and CIFAR's in its own files."""

import hashlib
import pickle

import numpy as np
import pytest
import torch

from activation_study.activations.activation import from_entry
from activation_study.activations.theory import constants
from activation_study.analysis.inference import MIN_CELLS
from activation_study.claims import file as claims_file
from activation_study.core.factors import TUNED_ON
from activation_study.data import prepare
from activation_study.data.arrays import read_prepared
from activation_study.study.config import ROOT, merged
from activation_study.study.study import Study
from activation_study.training.run import RunTraining

FAMILIES = [ROOT / "config.yaml", ROOT / "config" / "families.yaml"]
NETWORKS = {"residual_mlp", "convolutional", "residual_convolutional", "transformer", "gated_transformer"}


@pytest.fixture(scope="module")
def families():
    return Study.from_config(merged(FAMILIES, {}))


@pytest.mark.slow
def test_the_families_are_laid_over_the_default_study(families):
    default = Study.from_file(FAMILIES[0])
    assert default.runs.items() <= families.runs.items(), "no run of the default study changes"
    added = [families.runs[name] for name in families.runs.keys() - default.runs.keys()]
    assert {run.factors.network for run in added} == NETWORKS
    assert all(run.settings.tuning_seeds > TUNED_ON for run in added)


@pytest.mark.slow
def test_their_claims_are_a_family_of_their_own(families):
    article, other = claims_file.of_study(families.config)
    assert {row.experiment for row in other.rows} == {
        "residual_mlp",
        "convolutional",
        "residual_convolutional",
        "transformer",
    }
    assert article.article
    assert not other.article


@pytest.mark.slow
def test_every_claim_has_enough_cells_to_be_judged(families):
    _, other = claims_file.of_study(families.config)
    for row in other.rows:
        cells = []
        for _, levels in row.crossed():
            asked = row.where | {name: [value] for name, value in levels.items()}
            runs = [families.runs[name].factors for of, name in families.membership if of == row.experiment]
            cells.append(
                {(f.dataset, f.depth) for f in runs if all(getattr(f, one) in of for one, of in asked.items())}
            )
        assert len(set.intersection(*cells)) >= MIN_CELLS, row.id


def test_full_has_each_family():
    full = Study.from_file(ROOT / "config" / "full.yaml")
    assert NETWORKS | {"mlp"} == {run.factors.network for run in full.runs.values()}


@pytest.mark.slow
def test_cifar_in_its_own_files(tmp_path, monkeypatch):
    """Some images in the pickles that torchvision reads, whose sums are put in the place of the real ones."""
    home = tmp_path / "torchvision" / "CIFAR10" / "cifar-10-batches-py"
    home.mkdir(parents=True)
    source, sums = np.random.default_rng(0), {}
    batches = {f"data_batch_{i}": 12 for i in range(1, 6)} | {"test_batch": 20}
    contents = {
        name: {"data": source.integers(0, 256, (count, 3072), np.uint8), "labels": [i % 4 for i in range(count)]}
        for name, count in batches.items()
    }
    for name, content in (contents | {"batches.meta": {"label_names": list("abcd")}}).items():
        (home / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((home / name).read_bytes()).hexdigest()
    there = "torchvision.datasets.CIFAR10"
    monkeypatch.setattr(f"{there}.train_list", [[name, sums[name]] for name in batches if name != "test_batch"])
    monkeypatch.setattr(f"{there}.test_list", [["test_batch", sums["test_batch"]]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    monkeypatch.setattr(f"{there}.meta", meta)

    config = merged([ROOT / "config" / "cifar.yaml"], {})
    rates = {"momentum": [0.01], "adam": [0.001]}
    config |= {"device": "cpu", "seeds": {"tuning": 1, "evaluation": 1}, "learning_rates": rates}
    config["training"] |= {"probe_samples": 8, "max_validation": 12}
    small = {"activation": "gelu", "dataset": "cifar10", "steps": 2, "batch_size": 8}
    config["experiments"] = {name: grid | small for name, grid in config["experiments"].items()}
    manifest, found = trained(config, "cifar10", tmp_path)
    assert (manifest["status"], manifest["shape"], manifest["samples"]) == ("available", [32, 32, 3], 80)
    for run, score, layers in found:
        assert score["status"] == "finished"
        assert layers == set(range(1, run.factors.depth + 2))


@pytest.mark.slow
def test_a_character_model_learns_what_follows(tmp_path):
    """In a text that says the same again and again each next character can be known."""
    (tmp_path / "t.txt").write_text("to be, or not to be: that is the question. " * 400)
    config = merged([ROOT / "config" / "characters.yaml"], {})
    config |= {"device": "cpu", "seeds": {"tuning": 1, "evaluation": 1}, "learning_rates": {"adam": [0.003]}}
    config["datasets"]["novels"] = {"source": "text", "path": str(tmp_path / "t.txt"), "target": 0.3}
    config["experiments"]["core"] |= {"activation": "gelu", "steps": 60, "batch_size": 32}
    manifest, found = trained(config, "novels", tmp_path)
    assert (manifest["classes"], manifest["shape"]) == (16, [40, 16])
    assert {run.factors.network for run, *_ in found} == {"transformer", "gated_transformer"}
    assert min(score["test_accuracy"] for _, score, _ in found) > 0.9


def trained(config, dataset, folder):
    """The dataset's manifest, and of each run the score of its evaluation and the layers that its probes saw."""
    study = Study.from_config(config)
    files = folder / f"{dataset}.npz", folder / f"{dataset}.json"
    manifest = prepare.prepare(dataset, study.config.datasets[dataset].model_dump(), *files, cache=folder)
    arrays, gelu = read_prepared(*files), from_entry("gelu", {"class": "GELU"})
    found = []
    for run in study.runs.values():
        rows = RunTraining(run.params, gelu, constants(gelu), arrays, torch.device("cpu")).rows()
        (score,) = (row for row in rows["runs"] if row["role"] == "evaluation")
        found.append((run, score, {row["layer"] for row in rows["layers"]}))
    return manifest, found
