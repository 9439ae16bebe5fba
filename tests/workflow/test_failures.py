"""What goes wrong: results where it is one, one clear line where it is not, and the rest goes on."""

import numpy as np
import pytest

from project import smoke

pytestmark = pytest.mark.slow
CORE = smoke()["experiments"]["core"]
SUMMARIES = {"tables": 1, "ledger": 1, "report": 1}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"sneeds": {}}, "error: config: unknown key sneeds; known: "),
        ({"experiments": {"core": CORE | {"depth": 0}}}, "error: experiments.core.depth.0: 0 must be at least 1"),
        ({"study": "../elsewhere"}, 'error: study: "../elsewhere" must be letters, digits'),
        ({"experiments": {"core": CORE | {"activation": "rleu"}}}, "error: experiments.core.activation: 'rleu'"),
        (
            {"datasets": {"pets": {"source": "torchvision", "class": "ImageFolder", "root": "pets", "target": 0.5}}},
            "error: datasets.pets.class: ImageFolder is written as source: folder, path: 'pets'",
        ),
        (
            {"datasets": {"letters": {"source": "torchvision", "class": "EMNIST", "split": "greek", "target": 0.5}}},
            "error: datasets.letters: torchvision refuses EMNIST(split=greek)",
        ),
        (
            {"datasets": {"planes": {"source": "torchvision", "class": "FGVCAircraft", "target": 0.5}}},
            "error: datasets.planes.class: the files of FGVCAircraft have no checksum",
        ),
    ],
)
def test_a_wrong_config_is_one_line(new_project, changes, line):
    new_project.configure(smoke(**changes))
    call = new_project.snakemake()
    assert call.code == 1
    said = [text for text in call.output.splitlines() if not text.startswith(("Using workflow", "Config file"))]
    assert len(said) == 1
    assert said[0].startswith(line)
    assert not (new_project / "results").exists()
    assert not (new_project / "reports").exists()


def test_activations_that_are_none_are_gaps(project):
    """One line names each, and the call fails; the rest has its report, which says what is missing and why."""
    own = "import torch\nfrom torch import nn\n\n\nclass {}(nn.Module):\n    def forward(self, x):\n        {}\n"
    (project / "raising.py").write_text(own.format("Raising", "raise ValueError('no luck')"), encoding="utf-8")
    (project / "mixing.py").write_text(own.format("Mixing", "return torch.softmax(x, -1)"), encoding="utf-8")
    bad = {"raising": {"module": "raising:Raising"}, "mixing": {"module": "mixing:Mixing"}}
    project.configure(smoke(activations=bad | {"tanh": {"class": "Tanh"}}, cost={"measure": False}))
    call = project.snakemake()
    assert call.code == 1
    said = call.output.splitlines()
    lines = [line for line in said if line.startswith("error: ")]
    assert lines == said[-2:]
    assert said[-3] == "Report: reports/smoke.html"
    assert sorted(line.split(":")[1] for line in lines) == [" activations.mixing", " activations.raising"]
    assert any("no luck" in line for line in lines)
    assert "Traceback" not in call.output

    statuses = project.table("runs").groupby("activation")["status"].agg(set).to_dict()
    trained = {"finished", "pruned"}
    assert statuses == dict.fromkeys(("relu", "quick_gelu", "tanh"), trained) | {name: {"no_data"} for name in bad}
    assert project.table("gaps")["name"].tolist() == list(bad)
    page = (project / "reports/smoke.html").read_text(encoding="utf-8")
    for name in bad:
        assert f"Activation <code>{name}</code> was refused:" in page

    assert project.planned() == {"activation": 2, "train": 2} | SUMMARIES  # they are tried at every call
    (project / "raising.py").write_text(own.format("Raising", "return x.tanh()"), encoding="utf-8")
    (project / "mixing.py").write_text(own.format("Mixing", "return x.atan()"), encoding="utf-8")
    assert project.snakemake().code == 0
    assert len(project.table("gaps")) == 0
    assert project.planned() == {}


def test_data_that_are_wrong_are_a_gap(project):
    np.savez(project / "wrong.npz", x=np.full((90, 4), np.nan), y=np.arange(90) % 3)
    wrong = {"wrong": {"source": "npz", "path": "wrong.npz", "target": 0.5}}
    project.configure(smoke(datasets=wrong, cost={"measure": False}))
    call = project.snakemake()
    assert call.code == 1
    assert [line for line in call.output.splitlines()[-10:] if line.startswith("error: datasets.wrong: ")]
    assert project.table("gaps")[["kind", "name", "status"]].values.tolist() == [["dataset", "wrong", "refused"]]
    assert set(project.table("runs").query("dataset == 'digits'")["status"]) == {"finished", "pruned"}
    assert "Dataset <code>wrong</code> was refused:" in (project / "reports/smoke.html").read_text(encoding="utf-8")


def kmnist(folder):
    """A tiny KMNIST, in the files that torchvision keeps: 4 classes of 6 × 6 pixels that are easy to tell apart."""
    folder.mkdir(parents=True)
    source = np.random.default_rng(0)
    centres = source.integers(0, 256, size=(4, 6, 6))
    for part, count in (("train", 200), ("t10k", 80)):
        y = np.arange(count, dtype=np.uint8) % 4
        x = np.clip(centres[y] + source.normal(scale=10, size=(count, 6, 6)), 0, 255).astype(np.uint8)
        for name, array in ((f"{part}-images-idx3-ubyte", x), (f"{part}-labels-idx1-ubyte", y)):
            shape = np.array(array.shape, ">i4").tobytes()
            (folder / name).write_bytes(bytes([0, 0, 8, array.ndim]) + shape + array.tobytes())


def test_diverged_training_and_missing_data_are_results(new_project):
    """Of two data sets one cannot be had at first, and one of two learning rates blows every network up."""
    study, name = "0-odd_NAME-", "Id-0_x"
    new_project.configure(
        smoke(
            study=study,
            datasets={"kmnist-": {"source": "torchvision", "class": "KMNIST", "target": 0.5}},
            learning_rates={"momentum": [0.03, 1000]},
            cost={"measure": False},
            experiments={
                "core": CORE | {"activation": name},
                "doomed": CORE | {"dataset": "digits", "rates": "coarse"},
            },
        )
        | {"activations": {name: {"class": "Identity"}}}
    )
    # Port 9 refuses at once: no download here, whatever the network is like.
    offline = {f"{protocol}_proxy": "http://127.0.0.1:9" for protocol in ("http", "https", "HTTP", "HTTPS")}
    offline |= {"no_proxy": "", "NO_PROXY": "", "ACTIVATION_STUDY_CACHE": str(new_project / "cache")}

    call = new_project.snakemake(**offline)
    assert call.code == 0, call.output
    assert call.jobs == {"dataset": 2, "activation": 1, "train": 3, "tables": 1, "ledger": 1, "report": 1}
    datasets = new_project.table("datasets", study).set_index("dataset")
    assert datasets["status"].to_dict() == {"digits": "available", "kmnist-": "unavailable"}
    assert "KMNIST" in datasets["message"]["kmnist-"]
    runs = new_project.table("runs", study)
    assert runs.query("dataset == 'kmnist-'")["status"].tolist() == ["no_data"]
    digits = runs.query("dataset == 'digits'")
    diverged = digits.query("learning_rate == 1000")
    assert set(diverged["status"]) == {"diverged"}
    assert set(diverged.query("rates == 'coarse'")["role"]) == {"tuning", "evaluation"}
    assert diverged["validation_accuracy"].unique().tolist() == pytest.approx([0.1])
    assert diverged["validation_loss"].unique().tolist() == pytest.approx([np.log(10)])
    assert set(digits.query("learning_rate == 0.03")["status"]) == {"finished"}

    for _ in range(2):  # every call tries again
        call = new_project.snakemake(f"results/{study}/data/kmnist-.json", **offline)
        assert call.code == 0, call.output
        assert call.jobs == {"dataset": 1}, call.output
    kmnist(new_project / "cache/torchvision/KMNIST/KMNIST/raw")
    tables = f"results/{study}/tables/runs.parquet"
    call = new_project.snakemake(tables, **offline)
    assert call.code == 0, call.output
    assert call.jobs == {"dataset": 1, "train": 1, "tables": 1}
    runs = new_project.table("runs", study)
    assert set(runs.query("dataset == 'kmnist-'")["status"]) == {"finished", "diverged"}
    assert set(new_project.table("datasets", study)["status"]) == {"available"}
    call = new_project.snakemake(tables, **offline)
    assert "Nothing to be done" in call.output
