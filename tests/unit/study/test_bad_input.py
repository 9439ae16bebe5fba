"""A catalogue of bad configs, claims and commands: each is refused in one line, and leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import small
from activation_study.activations.expressions import parse
from activation_study.claims import file as claims_file
from activation_study.core.errors import StudyError
from activation_study.study.config import ROOT, read
from activation_study.study.study import Study
from refusal import refused

# --- the config, as text: what YAML makes of it --------------------------------------------------------------

SMALL = yaml.safe_dump(small.config(), sort_keys=False)
# What stands in the place of the file's end, and what the line must say.
TEXTS = {
    "a key twice": ("study: another", ["study", "is given twice", "line"]),
    "a key twice, inside": ("cost: {depth: 1, repeats: 6, depth: 2}", ["'depth'", "is given twice"]),
    "an activation twice": ("extra: {relu: 1, tanh: 1, relu: 2}", ["'relu'", "is given twice"]),
    "a tab": ("cost:\n\tdepth: 1", ["cannot be read as YAML"]),
    "a tag that makes objects": ("cost: !!python/object/apply:os.getcwd []", ["cannot be read as YAML"]),
    "two documents": ("---\nstudy: other", ["cannot be read as YAML", "single document"]),
    "an alias of nothing": ("cost: *nothing", ["cannot be read as YAML", "nothing"]),
    "aliases without end": (
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "\n".join(f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        ["more than 10000 values"],
    ),
    "half a surrogate": ('cost: "\\ud800"', ["cannot be read as YAML", "invalid Unicode character"]),
    "a zero byte": ('cost: "a\\0b"', ["cost", "'a\\x00b'", "control character"]),
    "an escape sequence": ('cost: {"\\e[2J": 1}', ["cost", "control character"]),
    "a key of several lines": ('cost: {"a\\nb": 1}', ["cost", "control character"]),
    "a list as a key": ("? [a, b]\n: 1", ["cannot be read as YAML"]),
    "a set": ("cost: !!set {a, b}", ["cost", "must be text, a number"]),
    "bytes": ("cost: !!binary aGVsbG8=", ["cost", "must be text, a number"]),
    "a time": ("cost: 2020-01-02 03:04:05", ["cost", "must be text, a number"]),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_file_that_yaml_reads_otherwise_than_meant(kind, tmp_path):
    text, held = TEXTS[kind]
    path = tmp_path / "config.yaml"
    path.write_text(f"{SMALL}{text}\n", encoding="utf-8")
    refused(lambda: Study.from_file(path), [str(path), *held], tmp_path)


def test_a_merged_mapping_may_say_a_key_anew(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("a: &a {depth: 1, width: 2}\nb: {<<: *a, depth: 3}\nc: {<<: *a, width: 3}\n", encoding="utf-8")
    assert read(path)["b"] == {"depth": 3, "width": 2}
    assert read(path)["c"] == {"depth": 1, "width": 3}


@pytest.mark.parametrize("file", ["config.yaml", "config/demo.yaml", "claims.yaml", "tests/configs/smoke.yaml"])
def test_the_files_that_ship_are_read_as_yaml_reads_them(file):
    assert read(ROOT / file) == yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "comment", "list", "latin-1", "utf-16", "parquet"])
def test_a_file_that_is_no_config(kind, tmp_path):
    path = tmp_path / "config.yaml"
    contents = {
        "empty": b"",
        "comment": b"# nothing yet\n",
        "list": b"- study\n",
        "latin-1": SMALL.replace("small", "klein-ä").encode("latin-1"),
        "utf-16": b"\xff\xfe" + SMALL.encode("utf-16-le"),
        "parquet": b"PAR1\x15\x04\x15\xf0\x00PAR1",
    }
    if kind == "folder":
        path.mkdir()
    elif kind in contents:
        path.write_bytes(contents[kind])
    held = {"empty": "not NoneType", "comment": "not NoneType", "list": "not list"}
    refused(lambda: Study.from_file(path), [str(path), held.get(kind, "cannot be read as YAML")], tmp_path)


# --- the config, as values -----------------------------------------------------------------------------------

CORE = small.CONFIG["experiments"]["core"]
MANY = [*range(1, 1001)]
VALUES = {
    "a name that leaves its folder": ({"study": "../../etc"}, ["study", "../../etc", "letters"]),
    "a name of dots": ({"study": ".."}, ["study", '".."', "letters"]),
    "a name with a line break": ({"study": "small\n"}, ["study", "letters"]),
    "a name in another script": ({"study": "study-ä"}, ["study", "letters"]),
    "a name with a blank": ({"study": "my study"}, ["study", "my study", "letters"]),
    "the published run's name": ({"study": "reference"}, ["study", "reference", "another name"]),
    "a wildcard as a name": ({"activations": {"{x}": {"class": "ReLU"}}}, ["activations", "{x}", "letters"]),
    "a path as an activation": ({"activations": {"../relu": {"class": "ReLU"}}}, ["../relu", "letters"]),
    "a dataset with a line break": (
        {"datasets": {"blobs\n": small.CONFIG["datasets"]["blobs"]}},
        ["datasets", "control character"],
    ),
    "a seed stream with a line break": (
        {"experiments": {"core": CORE | {"seed_stream": "a\n"}}},
        ["experiments.core.seed_stream.0", "letters"],
    ),
    "more runs than can be": (
        {"experiments": {"core": CORE | {"depth": MANY, "width": MANY, "steps": MANY}}},
        ["experiments.core", "1000000000 runs", "the limit is 50000"],
    ),
    "a number too large for a float": ({"seeds": {"tuning": 10**400}}, ["seeds.tuning", "finite number"]),
    "a negative number of layers": ({"experiments": {"core": CORE | {"depth": -1}}}, ["depth.0", "-1", "at least 1"]),
    "a rate as a formula": ({"learning_rates": {"momentum": ["10**-3"]}}, ["momentum.0", "10**-3", "number"]),
    "a rate with a comma": ({"learning_rates": {"momentum": ["0,01"]}}, ["momentum.0", "0,01", "number"]),
    "a rate in other digits": ({"learning_rates": {"momentum": ["٠.١"]}}, ["momentum.0", "number"]),
    "seeds beyond the largest": ({"seeds": {"evaluation": 1001}}, ["seeds.evaluation", "1001", "at most 1000"]),
    "a list of claims in a list": ({"claims": [["claims.yaml"]]}, ["claims.0", "string"]),
    "a claims file twice": ({"claims": ["claims.yaml", "claims.yaml"]}, ["claims", "twice"]),
    "a key in capitals": ({"Study": "x"}, ["unknown key Study", "study"]),
    "an argument that is a list": (
        {"activations": {"relu": {"class": "ReLU", "inplace": [1]}}},
        ["activations.relu", "inplace", "number"],
    ),
    "a class with a dot": ({"activations": {"relu": {"class": "modules.ReLU"}}}, ["activations.relu", "modules.ReLU"]),
    "a class of two underscores": ({"activations": {"relu": {"class": "__builtins__"}}}, ["torch.nn", "__builtins__"]),
    "a module with a path": ({"activations": {"relu": {"module": "../mine:Own"}}}, ["package.module:Class", "../mine"]),
    "a module with a call": ({"activations": {"relu": {"module": "os:system('x')"}}}, ["package.module:Class"]),
    "an expression with an attribute": (
        {"activations": {"relu": {"expression": "x.__class__"}}},
        ["activations.relu", "x.__class__", "not allowed"],
    ),
    "an expression with a call of a call": (
        {"activations": {"relu": {"expression": "().__class__.__bases__[0].__subclasses__()"}}},
        ["activations.relu", "not allowed"],
    ),
    "an expression with a walrus": (
        {"activations": {"relu": {"expression": "(tanh := x)"}}},
        ["activations.relu", "not allowed"],
    ),
    "an expression in f-strings": (
        {"activations": {"relu": {"expression": "f'{x!r}'"}}},
        ["activations.relu", "not allowed"],
    ),
    "an expression with arguments": (
        {"activations": {"relu": {"expression": "x", "alpha": 1}}},
        ["activations.relu", "takes no arguments", "alpha"],
    ),
    "a power without end": (
        {"activations": {"relu": {"expression": "x * 9**9**9"}}},
        ["activations.relu", "exponent"],
    ),
    "an unknown argument of torchvision's": (
        {"datasets": {"d": {"source": "torchvision", "class": "MNIST", "root": "/", "target": 0.5}}},
        ["datasets.d.root", "set by the study"],
    ),
    "a class of torchvision's with a dot": (
        {"datasets": {"d": {"source": "torchvision", "class": "mnist.MNIST", "target": 0.5}}},
        ["datasets.d.class", "mnist.MNIST"],
    ),
    "a path that is a number": (
        {"datasets": {"d": {"source": "npz", "path": 3, "target": 0.5}}},
        ["datasets.d.path", "3"],
    ),
    "a target of one": (
        {"datasets": {"d": {"source": "digits", "target": 1}}},
        ["datasets.d.target", "1", "below 1"],
    ),
}


@pytest.mark.parametrize("kind", VALUES)
def test_a_config_that_asks_for_what_cannot_be(kind, tmp_path):
    changes, held = VALUES[kind]
    config = small.config(**changes)
    if "datasets" in changes:
        config["datasets"] = changes["datasets"]
        config["experiments"]["core"].pop("dataset", None)
    refused(lambda: Study.from_config(config), held, tmp_path)


# --- claims ------------------------------------------------------------------------------------------------------

CLAIM = """
claims:
  - id: mine
    quote: ReLU beats tanh.
    rows:
      - {test: both, type: difference, experiment: core, metric: test_accuracy,
         arms: [{activation: relu}, {activation: tanh}], smallest: 0.01, reason: a point}
"""
CLAIMS = {
    "a smallest effect that is no number": (("smallest: 0.01", "smallest: .nan"), ["smallest", "finite number"]),
    "a smallest effect without end": (("smallest: 0.01", "smallest: .inf"), ["smallest", "finite number"]),
    "a key twice": (("smallest: 0.01", "smallest: 0.01, smallest: 0"), ["'smallest'", "is given twice"]),
    "a date as a quote": (("ReLU beats tanh.", "2020-01-02"), ["quote", "must be text"]),
    "a negative smallest effect": (("smallest: 0.01", "smallest: -1"), ["smallest", "-1"]),
    "an unknown key": (("test: both", "test: both, tset: both"), ["claim mine", "tset"]),
    "an unknown metric": (("test_accuracy", "accuracy"), ["metric", "'accuracy'"]),
    "an unknown type": (("difference", "differs"), ["type", "differs"]),
    "a factor that is none": (("{activation: relu}", "{activations: relu}"), ["'activations' is not a factor"]),
    "one arm": (("{activation: relu}, ", ""), ["arms", "two arms"]),
    "no reason": ((", reason: a point", ""), ["reason"]),
    "an id that is a path": (("id: mine", "id: ../mine"), ["id", "../mine"]),
    "a control character": (("ReLU beats tanh.", '"\\e[31m"'), ["quote", "control character"]),
}


@pytest.mark.parametrize("kind", CLAIMS)
def test_claims_that_cannot_be_judged(kind, tmp_path):
    (old, new), held = CLAIMS[kind]
    assert old in CLAIM
    path = tmp_path / "mine.yaml"
    path.write_text(CLAIM.replace(old, new), encoding="utf-8")
    refused(lambda: claims_file.read(path), [str(path), *held], tmp_path)


def test_claims_on_what_the_study_does_not_have(tmp_path):
    path = tmp_path / "mine.yaml"
    for old, new, held in (
        ("experiment: core", "experiment: cor", "'cor' is none of core"),
        ("{activation: relu}", "{activation: rleu}", "no run of core has activation=rleu"),
    ):
        path.write_text(CLAIM.replace(old, new), encoding="utf-8")
        experiments = {"core": CORE | {"activation": ["relu", "tanh"]}}
        config = Study.from_config(small.config(claims=[str(path)], experiments=experiments)).config
        refused(lambda config=config: claims_file.of_study(config), ["claim mine", held], tmp_path)


# --- the command -------------------------------------------------------------------------------------------------


def _said(tmp_path, *arguments):
    """What a call of Snakemake in the folder says, but for its own two lines; it ends with 1 and leaves nothing."""
    options = ["--snakefile", str(ROOT / "Snakefile"), "--profile", str(ROOT / "profiles" / "default")]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *options, "--cores", "1", *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith(("Using", "Config"))]
    assert done.returncode == 1, said
    assert not (tmp_path / "results").exists()
    return said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "held"),
    [
        (SMALL + "study: another\n", "study.yaml: line"),
        (SMALL.replace("path: blobs.npz", "path: blobs.npz\n    path: b.npz"), "the key 'path' is given twice"),
        ("study: small\n", "error: config: the key activations, datasets, experiments is missing"),
        (SMALL + "claims: [nowhere.yaml]\n", "error: nowhere.yaml: cannot be read as YAML"),
    ],
)
def test_the_command_says_one_line_and_writes_nothing(text, held, tmp_path):
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "config.yaml").write_text(SMALL, encoding="utf-8")
    (line,) = _said(tmp_path, "--configfile", "study.yaml")
    assert line.startswith("error: ")
    assert held in line


@pytest.mark.slow
@pytest.mark.parametrize("value", ["false", "False"])
@pytest.mark.parametrize("file", [[], ["--configfile", "study.yaml"]])
def test_modules_can_be_forbidden_on_the_command_line(file, value, tmp_path):
    """The file that is named, or else config.yaml, with this key changed."""
    own = yaml.safe_dump(small.config(activations={"mine": {"module": "nowhere:Mine"}}))
    for name in ("study.yaml", "config.yaml"):
        (tmp_path / name).write_text(own if name == "study.yaml" or not file else SMALL, encoding="utf-8")
    (line,) = _said(tmp_path, *file, "--config", f"allow_modules={value}")
    assert line.startswith("error: activations.mine:")
    assert "allow_modules" in line


def test_make_says_which_config_it_cannot_read(tmp_path):
    for config in (tmp_path / "nowhere.yaml", tmp_path):
        done = subprocess.run(
            ["make", "config", f"CONFIG={config}"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        line, *rest = done.stderr.splitlines()
        assert line.startswith(f"error: CONFIG: {config} cannot be read; name a config")
        assert all(said.startswith("make") for said in rest)
        assert done.returncode
    for target in ("study", "report"):  # asked first, before anything is installed or run
        plan = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert plan.index("CONFIG: %s cannot be read") < plan.index("snakemake --configfile")


# --- the expression parser ---------------------------------------------------------------------------------------

HOSTILE = [
    "__import__('os').system('touch escaped') + x",
    "open('escaped', 'w').write('') or x",
    "exec('import os') + x",
    "eval('x')",
    "x if [open('escaped', 'w')] else x",
    "(lambda: open('escaped', 'w'))() + x",
    "[y for y in [open('escaped', 'w')]][0] * x",
    "x.__class__.__base__.__subclasses__()[0]()",
    'f\'{open("escaped", "w")}\' + x',
    "tanh(x, *[open('escaped', 'w')])",
    "tanh(x=open('escaped', 'w'))",
    "x @ open('escaped', 'w')",
    "(x := open('escaped', 'w'))",
    "compile('x', 'x', 'eval')",
    "breakpoint() + x",
    "getattr(x, '__class__')",
]
LISTENING, HEARD = [], []
RUNS_CODE = {"exec", "open", "import", "os.system", "subprocess.Popen", "os.posix_spawn", "os.fork", "socket.connect"}


def _hear(event, arguments):
    if LISTENING and event in RUNS_CODE:
        HEARD.append((event, *map(str, arguments)))


sys.addaudithook(_hear)  # there is no way to take one back; it is deaf outside of `_heard`


def _heard(action):
    """What Python's own audit says that was run, opened or imported meanwhile."""
    HEARD.clear()
    LISTENING.append(True)
    try:
        action()
    except StudyError:
        pass
    finally:
        LISTENING.clear()
    return list(HEARD)


def test_the_audit_hears():
    assert _heard(lambda: eval("1 + 1"))  # the test's own text
    assert _heard(lambda: Path("/dev/null").open().close())


@pytest.mark.parametrize("text", HOSTILE)
def test_an_expression_that_tries_to_escape_runs_nothing(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(lambda: parse(text), ["expression"], tmp_path)
    assert _heard(lambda: parse(text)) == []


PARTS = st.one_of(st.sampled_from([*HOSTILE, "x", "1", "tanh(", ")", "+", "**", ",", ".", "[0]"]), st.text(max_size=5))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(PARTS, max_size=8).map("".join))
def test_no_text_runs_anything(text):
    assert _heard(lambda: parse(text)) == []
