"""What is kept of numbers of every type, and tables whose columns are of unlike scale."""

import numpy as np
import pytest
from scipy import stats

from activation_study.core.errors import StudyError
from activation_study.data import entries, prepare, transforms
from activation_study.data.arrays import Arrays
from activation_study.data.split import INPUT_TRANSFORMS, fit_transform, make_split

SAMPLES = 300
Y = np.arange(SAMPLES) % 3


def saved(path, **arrays):
    np.savez(path, **arrays)
    return {"source": "npz", "path": str(path)}


def standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=0)) / x.std(axis=0)


def table(seed: int = 0) -> np.ndarray:
    """Columns of spreads 1e-3 to 1e6, whose means are far from 0."""
    random = np.random.default_rng(seed)
    return random.normal(size=(SAMPLES, 5)) * [1e-3, 1, 30, 1e4, 1e6] + [5, -3, 1e5, 1e6, -1e9]


# --- types -----------------------------------------------------------------------------------------------

SHIFTS = {
    "uint8": 0,
    "int8": -100,
    "uint16": 60_000,
    "int32": 2_000_000_000,
    "int64": 2**62,
    "uint64": 2**64 - 1000,
    "float16": 10,
    "float32": 1e4,
    "float64": 1e12,
    "longdouble": 1e15,
}


@pytest.mark.parametrize("per_feature", [True, False])
@pytest.mark.parametrize("kind", SHIFTS)
def test_every_type_of_number_keeps_its_differences(kind, per_feature):
    """Far from 0 the differences are what a network sees; a cast to float32 alone would lose most of them."""
    offsets = np.random.default_rng(1).integers(0, 100, (40, 3))
    x = np.asarray(SHIFTS[kind]).astype(kind) + offsets.astype(kind)
    kept = transforms.stored(x, "k", per_feature=per_feature)
    assert kept.dtype == (np.uint8 if kind == "uint8" else np.float32)
    axis = 0 if per_feature else None
    wide = kept.astype(np.float64)
    found = (wide - wide.mean(axis=axis)) / wide.std(axis=axis)
    np.testing.assert_allclose(found, (offsets - offsets.mean(axis=axis)) / offsets.std(axis=axis), atol=1e-6)


def test_whole_64_bit_ranges_are_no_overflow():
    x = np.array([[-(2**63)], [2**63 - 1], [0]])
    np.testing.assert_allclose(
        standardised(transforms.stored(x, "k", per_feature=True)), standardised(np.array([[-1.0], [1], [0]])), atol=1e-6
    )


def test_booleans_are_0_and_1():
    x = np.random.default_rng(0).random((20, 2)) > 0.5
    assert transforms.stored(x, "k", per_feature=False).tolist() == x.astype(float).tolist()


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e-40, 1e39, 1e300])
@pytest.mark.parametrize("per_feature", [True, False])
def test_values_beyond_float32_are_scaled(scale, per_feature):
    x = np.random.default_rng(0).normal(size=(50, 2))
    axis = 0 if per_feature else None
    kept = transforms.stored(x * scale, "k", per_feature=per_feature).astype(np.float64)
    found = (kept - kept.mean(axis=axis)) / kept.std(axis=axis)
    # Below 1e-308 the given numbers themselves have few digits.
    np.testing.assert_allclose(found, (x - x.mean(axis=axis)) / x.std(axis=axis), atol=1e-6 if scale > 1e-300 else 1e-2)


def test_the_largest_floats_of_both_signs():
    largest = np.finfo(np.float64).max
    kept = transforms.stored(np.array([[largest], [-largest], [0.0]]), "k", per_feature=True)
    assert kept.ravel().tolist() == pytest.approx([-kept[1, 0], kept[1, 0], 0])


def test_what_float32_holds_is_kept_as_it_is():
    x = np.array([[0.5, 3], [2.0**-140, -7]])
    np.testing.assert_array_equal(transforms.stored(x, "k", per_feature=False), x)


def test_blocks_make_no_difference(monkeypatch):
    x = table()
    whole = [transforms.stored(x, "k", per_feature=choice) for choice in (True, False)], transforms.unlikeness(x)
    monkeypatch.setattr(transforms, "_BLOCK", 7)
    for before, choice in zip(whole[0], (True, False), strict=True):
        np.testing.assert_allclose(transforms.stored(x, "k", per_feature=choice), before, rtol=1e-6)
    assert transforms.unlikeness(x) == pytest.approx(whole[1])


def test_a_constant_column_stays_constant():
    x = np.stack([np.full(1000, 0.1), np.random.default_rng(0).normal(size=1000)], axis=1)
    assert np.ptp(transforms.stored(x, "k", per_feature=True)[:, 0]) == 0


@pytest.mark.parametrize("per_feature", [True, False])
@pytest.mark.parametrize(
    ("kind", "outlier"),
    [(kind, sign * size) for kind in ("float64", "longdouble") for size in (1e6, 1e9, 1e12, 1e30) for sign in (1, -1)]
    + [("int64", -999_999_999_999), ("int64", -(2**63)), ("int64", 2**63 - 1)]
    + [("uint64", 2**64 - 1), ("int32", 2**31 - 1)],
)  # fmt: skip
def test_an_extreme_value_in_the_test_part_leaves_the_training_inputs_as_they_are(kind, outlier, per_feature):
    x = (np.random.default_rng(5).normal(size=(SAMPLES, 2)) * 50 + 1000).astype(kind)
    x[290, 1] = outlier
    arrays = Arrays(
        transforms.stored(x, "k", per_feature=per_feature), Y, np.arange(SAMPLES) >= 240, 3, "t", "0",
        "per_feature" if per_feature else "global",
    )  # fmt: skip
    found = make_split(arrays, name="t", dataset_entry={}, replicate_seed=1)
    numbered = Arrays(np.arange(SAMPLES, dtype=np.float32)[:, None], Y, arrays.official_test, 3, "t", "0", "global")
    places = make_split(numbered, name="t", dataset_entry={}, replicate_seed=1)
    order = np.rint(places.train_x.numpy()[:, 0] * places.scale + places.mean).astype(int)
    train = x[order].astype(np.longdouble)
    axis = 0 if per_feature else None
    np.testing.assert_allclose(
        found.train_x.numpy(), ((train - train.mean(axis=axis)) / train.std(axis=axis)).astype(float), atol=1e-6
    )
    assert np.abs(found.test_x.numpy()).max() > 1000


@pytest.mark.parametrize("outlier", [1e60, -1e60])
def test_float32_holds_values_and_one_far_beyond_its_range(outlier):
    x = np.random.default_rng(0).normal(size=(50, 2))
    x[7, 1] = outlier
    kept = np.delete(transforms.stored(x, "k", per_feature=True), 7, axis=0)
    np.testing.assert_allclose(
        standardised(kept.astype(float)), standardised(np.delete(x, 7, axis=0)), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("per_feature", [True, False])
def test_a_value_that_no_scale_holds_beside_the_others_is_named(per_feature):
    x = np.random.default_rng(0).normal(size=(50, 3))
    x[7, 2] = -1e300
    with pytest.raises(StudyError, match=r"^k: x is -1e\+300, in sample 7, feature 2, .* from the median") as error:
        transforms.stored(x, "k", per_feature=per_feature)
    assert "\n" not in str(error.value)


def test_most_values_may_be_equal():
    """The typical distance is that of the others: a sparse column's is not 0."""
    x = np.zeros((100, 1))
    x[:5, 0] = [1e-200, 2e-200, 3.3e-200, -1e-200, 1e-180]
    kept = transforms.stored(x, "k", per_feature=True)[:, 0].astype(float)
    np.testing.assert_allclose(kept[:5] / kept[0], x[:5, 0] / 1e-200, rtol=1e-6)


def test_a_sample_of_many_values_will_do_for_the_middle(monkeypatch):
    x = np.random.default_rng(0).normal(size=(4000, 2)) + 1e9
    x[5] = 1e20
    monkeypatch.setattr(transforms, "_SAMPLE", 100)
    for per_feature, axis in ((True, 0), (False, None)):
        kept, given = (np.delete(a, 5, axis=0).astype(np.longdouble) for a in
                       (transforms.stored(x, "k", per_feature=per_feature), x))  # fmt: skip
        found, expected = ((a - a.mean(axis=axis)) / a.std(axis=axis) for a in (kept, given))
        np.testing.assert_allclose(found.astype(float), expected.astype(float), atol=1e-6)


@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "nan, a missing value"), (np.inf, "x is inf"), (-np.inf, "x is -inf")]
)
@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "longdouble"])
def test_what_is_not_finite_is_named(value, words, kind):
    x = np.ones((5, 4), kind)
    x[3, 2] = value
    with pytest.raises(StudyError, match=rf"^k: .*{words}.*sample 3, feature 2"):
        transforms.stored(x, "k", per_feature=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x + 1j, "real and imaginary"),
        (lambda x: x.astype("M8[D]"), "difference in days"),
        (lambda x: x.astype("m8[s]"), "timedelta64"),
        (lambda x: x.astype(str), "astype\\(float\\)"),
        (lambda x: x.astype("S5"), "astype\\(float\\)"),
        (lambda x: np.zeros(x.shape, [("a", float), ("b", int)]), "np.stack"),
    ],
)
def test_types_that_are_no_numbers_are_told_what_to_save(tmp_path, change, words):
    x = np.arange(12).reshape(6, 2)
    with pytest.raises(StudyError, match=rf"^datasets\.t: x has the type .*real numbers.*{words}") as error:
        prepare.load("t", saved(tmp_path / "a.npz", x=change(x), y=[0, 1] * 3))
    assert "\n" not in str(error.value)


def test_a_constant_table_says_which_value_it_holds(tmp_path):
    with pytest.raises(StudyError, match=r"every value of x is 0\.1; inputs must vary"):
        prepare.load("t", saved(tmp_path / "a.npz", x=np.full((6, 2), 0.1), y=[0, 1] * 3))


# --- tables ----------------------------------------------------------------------------------------------


def test_the_default_scale_follows_the_shape(tmp_path):
    x = np.random.default_rng(0).normal(size=(SAMPLES, 4, 4))
    flat, square = x.reshape(SAMPLES, 16), x
    assert prepare.load("t", saved(tmp_path / "a.npz", x=flat, y=Y)).scale == "per_feature"
    assert prepare.load("t", saved(tmp_path / "b.npz", x=square, y=Y)).scale == "global"
    for scale in ("per_feature", "global"):
        for name in ("a", "b"):
            entry = {"source": "npz", "path": str(tmp_path / f"{name}.npz"), "scale": scale}
            assert prepare.load("t", entry).scale == scale
    assert prepare.load("d", {"source": "digits"}).scale == "global"
    assert prepare.load("d", {"source": "digits", "scale": "per_feature"}).scale == "per_feature"


def test_the_scale_is_part_of_what_the_data_are(tmp_path):
    entry = saved(tmp_path / "a.npz", x=np.arange(SAMPLES * 2).reshape(-1, 2), y=Y)
    hashes = {prepare.load("t", entry | {"scale": scale}).sha256 for scale in ("per_feature", "global")}
    assert len(hashes) == 2


def split_of(entry: dict, **options):
    arrays = prepare.load("t", entry)
    return make_split(arrays, name="t", dataset_entry=entry, replicate_seed=3, **options)


@pytest.mark.parametrize("transform", INPUT_TRANSFORMS)
def test_a_raw_table_gives_what_standardised_columns_give(tmp_path, transform):
    raw = split_of(saved(tmp_path / "a.npz", x=table(), y=Y), input_transform=transform)
    clean = split_of(saved(tmp_path / "b.npz", x=standardised(table()), y=Y), input_transform=transform)
    for part in ("train", "validation", "test"):
        found, expected = (getattr(one, f"{part}_x").numpy() for one in (raw, clean))
        np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_allclose(raw.train_x.double().mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(raw.train_x.double().square().mean(0), 1, atol=1e-6)
    assert raw.excess_kurtosis == pytest.approx(clean.excess_kurtosis, abs=1e-4)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("transform", INPUT_TRANSFORMS)
def test_each_feature_is_mapped_by_its_own_training_values(kind, transform):
    x = np.random.default_rng(2).integers(0, 200, (SAMPLES, 3)).astype(kind)
    x[:, 1] //= 20
    arrays = Arrays(x, Y, None, 3, "t", "0", "per_feature")
    found = make_split(arrays, name="t", dataset_entry={}, replicate_seed=1, input_transform=transform, input_shift=0.5)
    for j in range(3):
        alone = make_split(
            Arrays(x[:, j : j + 1], Y, None, 3, "t", "0"), name="t", dataset_entry={}, replicate_seed=1,
            input_transform=transform, input_shift=0.5,
        )  # fmt: skip
        for part in ("train_x", "validation_x", "test_x"):
            np.testing.assert_array_equal(getattr(found, part)[:, j], getattr(alone, part)[:, 0])
        assert (found.mean[j], found.scale[j]) == (alone.mean, alone.scale)
    values, counts = np.unique(x[:, 1], return_counts=True)
    assert fit_transform(values.astype(float), counts, transform)(values.astype(float)).std() > 0


def test_what_is_constant_in_training_is_0_everywhere():
    x = np.random.default_rng(0).normal(size=(SAMPLES, 3)).astype(np.float32)
    x[:, 1] = 7
    arrays = Arrays(x, Y, np.arange(SAMPLES) >= 240, 3, "t", "0", "per_feature")
    x[240:, 1] = 1e6  # varies in the test part only
    found = make_split(arrays, name="t", dataset_entry={}, replicate_seed=1, input_transform="gaussianised")
    assert all((getattr(found, part)[:, 1] == 0).all() for part in ("train_x", "validation_x", "test_x"))
    x[:] = 7
    with pytest.raises(StudyError, match=r"^datasets\.t: no feature varies in the training part"):
        make_split(arrays, name="t", dataset_entry={}, replicate_seed=1)


@pytest.mark.parametrize("transform", INPUT_TRANSFORMS)
def test_constant_features_are_no_part_of_the_kurtosis(transform):
    x = np.random.default_rng(0).normal(size=(SAMPLES, 5)).astype(np.float32)
    x[:, [1, 3, 4]] = [7, 0, -2]
    found = make_split(
        Arrays(x, Y, None, 3, "t", "0", "per_feature"),
        name="t", dataset_entry={}, replicate_seed=1, input_transform=transform,
    )  # fmt: skip
    expected = stats.kurtosis(found.train_x.double().numpy()[:, [0, 2]], axis=None)
    assert found.excess_kurtosis == pytest.approx(expected, abs=1e-4)


def test_a_note_says_which_scale_was_used_where_it_matters(tmp_path):
    x = np.random.default_rng(0).normal(size=(SAMPLES, 4)) * [1, 2, 3, 1000]
    x[:, 1] = 0.1  # a constant column has no spread to compare
    entry = saved(tmp_path / "a.npz", x=x, y=Y)
    note = prepare.load("t", entry).note
    assert "scale: per_feature, the default" in note
    assert "scale: global" in note
    factor = float(note.split("a factor of ")[1].split(";")[0])
    assert factor == pytest.approx(x[:, 3].std() / x[:, 0].std(), rel=0.01)
    assert "scale: per_feature ends it" in prepare.load("t", entry | {"scale": "global"}).note
    assert prepare.load("t", entry | {"scale": "per_feature"}).note == ""
    assert prepare.load("t", saved(tmp_path / "b.npz", x=x[:, :3], y=Y)).note == ""
    assert prepare.load("t", saved(tmp_path / "c.npz", x=x.reshape(-1, 2, 2), y=Y)).note == ""


def test_the_note_reaches_the_manifest_and_the_training_job(tmp_path):
    from activation_study.data.arrays import read_prepared

    x = np.random.default_rng(0).normal(size=(SAMPLES, 2)) * [1, 1000]
    places = tmp_path / "d.npz", tmp_path / "d.json"
    manifest = prepare.prepare("t", saved(tmp_path / "a.npz", x=x, y=Y), *places)
    assert manifest["status"] == "available"
    assert manifest["message"] == prepare.load("t", {"source": "npz", "path": str(tmp_path / "a.npz")}).note != ""
    assert "each feature on its own scale" in manifest["source"]
    assert read_prepared(*places).scale == "per_feature"


# --- labels and parts ------------------------------------------------------------------------------------

X = np.arange(24, dtype=np.float64).reshape(8, 3) / 7


def test_an_npz_may_bring_its_own_test_set(tmp_path):
    labels = np.array(["cat", "dog"] * 4)
    entry = saved(tmp_path / "a.npz", x_train=X[:5], y_train=labels[:5], x_test=X[5:], y_test=labels[5:])
    whole = prepare.load("t", saved(tmp_path / "b.npz", x=X, y=labels))
    found = prepare.load("t", entry)
    np.testing.assert_array_equal(found.x, whole.x)
    assert found.y.tolist() == [0, 1] * 4
    assert found.official_test.tolist() == [False] * 5 + [True] * 3


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x_train": X, "y_train": [0, 1] * 4, "x_test": X}, "no array 'y_test'; x_train, y_train, x_test, y_test"),
        ({"x_test": X, "y_test": [0, 1] * 4}, "no array 'x_train'"),
        ({"x": X, "y": [0, 1] * 4, "x_train": X}, "both x and x_train"),
        ({"x_train": X, "y_train": [0, 1] * 4, "x_test": X[:, :2], "y_test": [0, 1] * 4}, r"x_test has .*\(8, 2\)"),
        ({"x_train": X, "y_train": [0, 1] * 4, "x_test": X, "y_test": [0, 1]}, r"y_test \(2,\)"),
        ({"x_train": X, "y_train": np.eye(8), "x_test": X, "y_test": np.eye(8)}, r"y\.argmax\(axis=1\)"),
        ({"x_train": X, "y_train": [0, 1] * 4, "x_test": X, "y_test": ["a", "b"] * 4}, "one type of label"),
        ({"x": X, "y": np.zeros((8, 1))}, r"save y\[:, 0\]"),
        ({"x": X, "y": np.eye(8)}, r"y\.argmax\(axis=1\)"),
        ({"x": X, "y": np.arange(8) / 2}, r"y\.astype\(int\)"),
    ],
)  # fmt: skip
def test_wrong_parts_and_labels_are_told_what_to_save(tmp_path, arrays, words):
    with pytest.raises(StudyError, match=rf"^datasets\.t.*{words}") as error:
        prepare.load("t", saved(tmp_path / "a.npz", **{name: np.asarray(value) for name, value in arrays.items()}))
    assert "\n" not in str(error.value)


def test_unlabelled_samples_are_refused_or_left_out(tmp_path):
    y = np.array([0, 1, -1, 0, 1, -1, 5, 5])
    entry = saved(tmp_path / "a.npz", x=X, y=y)
    with pytest.raises(StudyError, match=r"^datasets\.t: 2 samples have the label -1.*unlabelled: -1"):
        prepare.load("t", entry)
    found = prepare.load("t", entry | {"unlabelled": -1})
    assert (found.y.tolist(), found.classes) == ([0, 1, 0, 1, 2, 2], 3)
    np.testing.assert_array_equal(found.x, prepare.load("t", saved(tmp_path / "b.npz", x=X[y >= 0], y=y[y >= 0])).x)
    other = saved(tmp_path / "c.npz", x=X, y=np.where(y < 0, 2, y))
    assert prepare.load("t", other | {"unlabelled": 5}).classes == 3
    parted = saved(tmp_path / "d.npz", x_train=X[:5], y_train=y[:5], x_test=X[5:], y_test=y[5:])
    assert prepare.load("t", parted | {"unlabelled": -1}).official_test.tolist() == [False] * 4 + [True] * 2
    with pytest.raises(StudyError, match=r"no sample has a label; at least two"):
        prepare.load("t", saved(tmp_path / "e.npz", x=X, y=np.full(8, -1)) | {"unlabelled": -1})
    with pytest.raises(StudyError, match=r"^datasets\.t\.unlabelled: .*texts"):
        prepare.load("t", saved(tmp_path / "f.npz", x=X, y=np.array(["a", "b"] * 4)) | {"unlabelled": -1})


def test_minus_one_and_one_are_a_pair_of_classes(tmp_path):
    assert prepare.load("t", saved(tmp_path / "a.npz", x=X, y=np.array([-1, 1] * 4))).y.tolist() == [0, 1] * 4


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"scale": "columns"}, "scale"),
        ({"scale": True}, "scale"),
        ({"scale": ["global"]}, "scale"),
        ({"unlabelled": "none"}, "unlabelled"),
        ({"unlabelled": True}, "unlabelled"),
        ({"size": 32}, "size"),
        ({"allow_unchecked": True}, "allow_unchecked"),
    ],
)
def test_wrong_keys_of_an_npz(change, key):
    with pytest.raises(StudyError, match=rf"^datasets\.t\.{key}: "):
        entries.check_entry("t", {"source": "npz", "path": "a.npz"} | change)
