"""What designs of tuning and evaluation cover, on a tenth of the studies that docs/statistics.md tells of."""

import numpy as np
import pytest

import designs
import document
from activation_study.analysis.tuned import contrast, tuned_moments
from activation_study.core.tuning import rate_weights

STUDIES = 2_000


def table(found, column):
    """[designs, settings], in the order in which they are simulated."""
    return np.reshape([one[column] for one in found["settings"]], (len(designs.DESIGNS), -1))


@pytest.mark.slow
def test_the_choice_of_the_rate_is_in_the_interval_over_triples_alone():
    """Within three standard errors of a share of 5%, .005, in each of 15 settings; none varies more than by chance."""
    found = designs.simulated(STUDIES)
    alarms, coverage, sd = (table(found, column) for column in ("alarms", "coverage", "sd"))
    names = list(designs.DESIGNS)
    first, single, *triples = range(len(names))
    for place in triples:
        assert alarms[place].max() < 0.065, names[place]
        assert coverage[place].min() > 0.935, names[place]
    assert alarms[first].max() == pytest.approx(0.205, abs=0.03)
    assert coverage[first].min() == pytest.approx(0.80, abs=0.03)
    assert alarms[single].max() == pytest.approx(0.12, abs=0.02)
    assert coverage[single].min() == pytest.approx(0.885, abs=0.02)
    six = names.index("weighted over triples of 6 tuning seeds")
    assert (sd[six] < 1.04 * sd[first]).all(), "its estimates vary less, save where both select one rate"
    assert sd[six].max() < 0.75 * sd[first].max()
    assert [sd[six].min(), sd[six].max()] == pytest.approx([0.197, 0.365], abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("noise", designs.NOISES)
@pytest.mark.parametrize("gap", [0, 1, 2])
def test_over_cells_and_in_pairs_alarms_are_no_more(noise, gap):
    """Of A against A in six cells; half of the variance of a seed and rate is common to both arms."""
    rng, noise, scores = np.random.default_rng(1), designs.NOISES[noise], -gap * np.abs(np.arange(7) - 3)

    def pair():
        common = [noise.drawn(rng, STUDIES, seeds) for seeds in (6, 10)]
        arms = [[scores + (part + noise.drawn(rng, *part.shape[:2])) / np.sqrt(2) for part in common] for _ in "ab"]
        return contrast([rate_weights(tuning).replicates(evaluation) for tuning, evaluation in arms], (1, -1))

    assert designs.held(*tuned_moments([pair() for _ in range(6)])).mean() > 0.935


def test_the_table_says_where_it_comes_from(tmp_path, monkeypatch):
    monkeypatch.setattr(document, "BENCH", tmp_path)
    page = tmp_path / "statistics.md"
    page.write_text("Before.\n<!-- designs -->\n<!-- /designs -->\n")
    monkeypatch.setattr(document, "FILES", (page,))
    monkeypatch.setattr(designs, "STUDIES", 20)
    designs.main()
    text = page.read_text()
    assert all(f"| {name} | 0." in text for name in designs.DESIGNS)
    assert "20 simulated studies in each of 15 settings" in text
    assert "0, 0.25, 0.5, 1, 2 points" in text
    assert all(noise in text for noise in designs.NOISES)
    assert designs.simulated(20) == designs.simulated(20)


def test_a_noise_is_what_it_says():
    rng = np.random.default_rng(0)
    for noise in designs.NOISES.values():
        drawn = noise.drawn(rng, 20_000, 1)[:, 0]
        assert drawn.std(axis=0) == pytest.approx(noise.sd, rel=0.03)
        assert np.corrcoef(drawn[:, 0], drawn[:, 6])[0, 1] == pytest.approx(noise.of_seed, abs=0.03)
