"""Networks that cannot be are refused before anything is prepared or trained; what torchvision's take is counted."""

import pytest
from torchvision import models

import small
from activation_study.core.errors import StudyError
from activation_study.networks.base import architecture
from activation_study.study.study import Study

TABLE = {"source": "csv", "path": "table.csv", "label": "y", "target": 0.5}
SERIES = {"source": "mnist1d", "target": 0.4}
NETWORKS = {
    "resnet": {"class": "torchvision.models.resnet18", "replace": "ReLU"},
    "mine": {"module": "own_networks:residual"},
}
OWN = {"initialisation": "lsuv"}


def study(dataset, **factors):
    core = {"depth": 2, "width": 16, "steps": 4, "batch_size": 8, "activation": "relu"} | factors
    return Study.from_config(small.config(networks=NETWORKS, datasets={"blobs": dataset}, experiments={"core": core}))


@pytest.mark.parametrize(
    ("dataset", "factors", "said"),
    [
        (
            TABLE,
            {"network": "convolutional"},
            r"^network: convolutional needs series or images, .* blobs have no shape",
        ),
        (TABLE, {"network": "gated_transformer"}, r"^network: gated_transformer needs series or images"),
        (SERIES, {"network": "resnet"} | OWN, r"^network: resnet needs images, which the samples of blobs are not"),
        (SERIES, {"network": "transformer", "width": 18}, r"^width: 18 is no multiple of 4, the heads of transformer"),
        (SERIES, {"network": "convolutional", "centred": True}, r"^centred: true needs a linear layer after each"),
        (TABLE, {"network": "mine"}, r"^initialisation: gain is not for mine, .*; torch_default or lsuv is"),
        (TABLE, {"network": "mine", "normalisation": "batch"} | OWN, r"^normalisation: batch is not for mine"),
    ],
)
def test_what_cannot_be_is_one_line(dataset, factors, said):
    with pytest.raises(StudyError, match=said):
        study(dataset, **factors)


@pytest.mark.parametrize(
    ("dataset", "factors"),
    [
        (SERIES, {"network": "convolutional"}),
        (TABLE, {"network": "residual_mlp", "centred": True}),
        (TABLE, {"network": "mine"} | OWN),
        ({"source": "npz", "path": "x.npz", "target": 0.5}, {"network": "convolutional"}),  # its file will say
        ({"source": "npz", "path": "x.npz", "target": 0.5, "axes": "LC"}, {"network": "transformer"}),
        ({"source": "digits", "target": 0.5}, {"network": "resnet"} | OWN),
    ],
)
def test_what_can_be_is_not_refused(dataset, factors):
    assert len(study(dataset, **factors).runs) == 1


@pytest.mark.slow
def test_a_model_of_torchvision_is_counted():
    (run,) = study({"source": "digits", "target": 0.5}, network="resnet", **OWN).runs.values()
    found = architecture("resnet", NETWORKS["resnet"])
    size = found.size(run.factors, 3 * 64 * 64)
    assert size.parameters == sum(p.numel() for p in models.resnet18().parameters())
    assert size.widest == 64 * 32 * 32
    assert found.flops(run.factors) == pytest.approx(3 * 2 * 37e6, rel=0.1)  # 1.81e9 products at 224 × 224 by 49
    unknown = architecture("other", {"class": "torchvision.models.no_such", "replace": "ReLU"})
    assert unknown.size(run.factors, 64) == architecture("mine", NETWORKS["mine"]).size(run.factors, 64)
