"""The guide for other families of networks than multilayer perceptrons."""

import pandas as pd
import pytest

from activation_study.__main__ import main
from activation_study.guide.chooser import Evidence, recommend
from activation_study.guide.wording import lines
from planted import planted

BEST = {"mlp": "relu", "residual_mlp": "elu", "convolutional": "tanh"}


def of(network, normalisation, experiment):
    made = planted(lambda dataset, activation, depth: 0.9 - 0.1 * (activation != BEST[network]), depths=(20,))
    for name in ("runs", "experiments"):
        if network != "mlp":
            made[name]["run"] += f",network={network}" + f",normalisation={normalisation}" * (normalisation != "none")
    made["runs"] = made["runs"].assign(network=network, normalisation=normalisation)
    made["experiments"]["experiment"] = experiment
    return made


@pytest.fixture
def tables():
    parts = [
        of("mlp", "none", "core"),
        of("residual_mlp", "none", "deep"),
        of("residual_mlp", "batch", "normed"),
        of("convolutional", "none", "images"),
    ]
    rest = {"cost": parts[0]["cost"], "ledger": parts[0]["ledger"]}
    return {name: pd.concat([part[name] for part in parts]) for name in ("runs", "experiments")} | rest


@pytest.mark.parametrize("network", BEST)
def test_each_has_its_own_answer(tables, network):
    evidence = Evidence.of(tables, network=network)
    answer = recommend(evidence, 20, None, "high", False)
    assert answer.pick == BEST[network]
    assert answer.n == 18, "of one experiment"
    assert answer.confidence == "high"
    words = {"mlp": "multilayer perceptrons", "residual_mlp": "residual multilayer", "convolutional": "convolutional"}
    assert f"Reach: {words[network]}" in "\n".join(lines(answer, evidence))


def test_a_normalisation_can_be_asked_for(tables):
    assert set(Evidence.of(tables, network="residual_mlp").replicas["core"]["normalisation"]) == {"none"}
    batch = Evidence.of(tables, network="residual_mlp", normalisation="batch")
    assert set(batch.replicas["core"]["normalisation"]) == {"batch"}
    assert batch.core == "normed"


def test_the_command_takes_the_network_and_says_which_there_are(tables, tmp_path, capsys):
    for name in ("runs", "experiments"):
        tables[name].to_parquet(tmp_path / f"{name}.parquet")
    asked = ["recommend", "--depth", "20", "--tables", str(tmp_path)]
    main([*asked, "--network", "convolutional"])
    assert capsys.readouterr().out.startswith("Use tanh.")
    for more, said in (
        (["transformer"], "transformer' was not"),
        (["convolutional", "--normalisation", "batch"], "batch"),
    ):
        with pytest.raises(SystemExit) as ended:
            main([*asked, "--network", *more])
        assert said in str(ended.value)
        assert "trained are convolutional (none), mlp (none), residual_mlp (batch)" in str(ended.value)
