"""A YAML file that somebody else wrote is read within bounds, or refused in one line that shows little of it."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from activation_study.claims import file as claims_file
from activation_study.core.errors import StudyError
from activation_study.core.yaml_files import Loader, PythonLoader, parsed
from activation_study.study.config import ROOT, read
from activation_study.study.study import Study
from refusal import refused

SMALL = "study: small\nactivations: {relu: {class: ReLU}}\ndatasets: {digits: {source: digits, target: 0.9}}\n"
CORE = "experiments: {core: {depth: 2, activation: relu}}\n"
TENFOLD = "\n".join(f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
NEXT = list(zip("abcdefghijklmnop", "bcdefghijklmnopq", strict=True))
MERGES = "\n".join(f"{b}: &{b} {{<<: [{','.join([f'*{a}'] * 9)}]}}" for a, b in NEXT)
TRIPLES = "\n".join(f"{b}: &{b} {{p: *{a}, q: *{a}, r: *{a}}}" for a, b in NEXT)
BOMBS = {
    "merge keys": ("a: &a {x: 1, y: 2}\n" + MERGES, "more than 10000 values"),
    "aliases of lists": ("a: &a [x, x, x, x, x, x, x, x, x, x]\n" + TENFOLD, "more than 10000 values"),
    "aliases of mappings": ("a: &a {x: 1}\n" + TRIPLES, "more than 10000 values"),
    "a long text many times": (f"a: &a {'x' * 9000}\nb: [{','.join(['*a'] * 9000)}]", "more than 1000000 characters"),
    "a merge key of itself": ("a: &a {<<: *a}", "nested too deeply"),
    "many values": (f"a: [{','.join(['1'] * 400_000)}]", "more than 10000 values"),
    "many levels": ("[" * 500_000, "nested too deeply"),
    "many levels of mappings": ("{a: " * 200_000, "nested too deeply"),
    "a large file": ("# " + "x" * 1_000_000, "more than 1000000 bytes"),
    "base sixty": ("a: 1" + ":59" * 300_000, "a number of 900001 characters"),
    "base sixty with a point": ("a: 1" + ":59" * 300_000 + ".5", "a number of 900003 characters"),
    "an integer of 4,301 digits": ("a: " + "9" * 4301, "a number of 4301 characters"),
    "the same in base sixteen": ("a: 0x" + "f" * 4301, "a number of 4303 characters"),
    "the same with a tag": (f'a: !!int "{"9" * 4301}"', "a number of 4301 characters"),
    "an integer of 400 digits": ("a: " + "9" * 400, "a: an integer of 1329 bits must be a finite number"),
    "a float that has no end": ("a: 1" + ":59" * 130 + ".5", "must be a finite number"),
    "a tag that does not fit": ('a: !!int ""', "cannot be read as YAML: IndexError"),
    "a truth value that is none": ("a: !!bool maybe", "cannot be read as YAML: KeyError"),
    "a time that is none": ("a: !!timestamp never", "cannot be read as YAML: AttributeError"),
    "a long key": (f"? {'k' * 201}\n: 1", "has 201 characters; the limit is 200"),
    "a long key over many values": (f"? {'k' * 500_000}\n: [{','.join(['1'] * 9000)}]", "the limit is 200"),
    "directives": ("".join(f"%TAG !{i:x}! t\n" for i in range(60_000)) + "---\na: 1", "line 1 begins with %"),
    "directives after a mark": ("\ufeff" + "%TAG !a! t\n---\na: 1", "line 1 begins with %"),
    "directives of another end of line": ("# a\r%TAG !a! t\r---\ra: 1", "line 1 begins with %"),
    "directives later": ("a: 1\n...\n%TAG !a! t\n---\na: 1", "line 3 begins with %"),
    "a long text": (f"a: {'x' * 10_001}", "has 10001 characters; the limit is 10000"),
}


def _spent(action):
    """Seconds of this process's own work, and megabytes more than before at most."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    action()
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return time.process_time() - start, more / 1024


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_in_no_time(kind, tmp_path):
    text, held = BOMBS[kind]
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    seconds, megabytes = _spent(lambda: refused(lambda: read(path), [str(path), held], tmp_path))
    assert seconds < 2
    assert megabytes < 100


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in BOMBS if kind != "a large file"])
def test_nor_does_the_reader_in_python_build_it(kind):
    """Where PyYAML lacks libyaml; it takes longer over long texts, and finds the same."""
    text, held = BOMBS[kind]
    if any(words in held for words in ("cannot be read", "more than", "deeply", "a number of")):
        with pytest.raises(StudyError, match=held.removeprefix("cannot be read as YAML: ")):
            parsed(text, PythonLoader)


@pytest.mark.slow
def test_both_readers_agree_with_yaml():
    for file in ("config.yaml", "config/full.yaml", "claims.yaml", "src/activation_study/study/config.schema.yaml"):
        text = (ROOT / file).read_text(encoding="utf-8")
        assert parsed(text) == parsed(text, PythonLoader) == yaml.safe_load(text), file
    assert yaml.__with_libyaml__ == (Loader is not PythonLoader)


@pytest.mark.parametrize("kind", ["device", "pipe", "folder", "missing", "zero byte", "loop", "kernel's log"])
def test_only_regular_files_are_read(kind, tmp_path):
    path = {"device": "/dev/zero", "zero byte": "a\0b.yaml", "kernel's log": "/proc/kmsg"}.get(
        kind, str(tmp_path / "a.yaml")
    )
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        Path(path).mkdir()
    elif kind == "loop":
        Path(path).symlink_to(path)
    seconds, megabytes = _spent(lambda: refused(lambda: read(path), ["cannot be read as YAML"], tmp_path))
    assert seconds < 1
    assert megabytes < 20
    config = yaml.safe_load(SMALL + CORE) | {"claims": [path]}
    if kind != "zero byte":  # which is a control character of the config
        refused(lambda: claims_file.of_study(Study.from_config(config).config), ["cannot be read as YAML"], tmp_path)


SECRET = "hunter2" * 40


@pytest.mark.parametrize(
    "text",
    [
        f"{SECRET}: [unclosed",
        f'"{SECRET}',
        f"- {SECRET}",
        SECRET,
        f"token: {SECRET}",
        f"claims: {SECRET}",
        f"claims: [{{id: {SECRET}}}]",
        f"claims: [{SECRET}]",
        f"github.com:\n  user: me\n  oauth_token: {SECRET}\n",
        f"a: *{SECRET}",
        f"a: !{SECRET} 1",
        f"a: %{SECRET}",
        f"root:x:0:0:{SECRET}:/root:/bin/sh\na: b: c",
    ],
)
def test_an_error_shows_little_of_a_file_that_is_named_as_claims(text, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        claims_file.read(path)
    shown = str(caught.value).replace(str(path), "")
    assert len("hunter2") * shown.count("hunter2") < 150, shown  # of 280: two names or values, as messages cut them


CODES = """00 07 1b 7f 80 85 9b a0 ad 61c 200b 200e 200f 2028 2029 202a 202b 202c 202d 202e 2060 2066 2067 2068 2069
feff fff9 e0041"""


@pytest.mark.parametrize("code", [int(code, 16) for code in CODES.split()])
def test_characters_that_nobody_sees_are_refused(code, tmp_path):
    """In a value and in a key, escaped and as they are."""
    for character in (chr(code), f"\\U{code:08x}"):
        for line in (f'cost: "a{character}b"', f'"a{character}b": 1'):
            path = tmp_path / "config.yaml"
            path.write_text(f"{SMALL}{CORE}{line}\n", encoding="utf-8")
            with pytest.raises(StudyError) as caught:
                Study.from_file(path)
            message = str(caught.value)
            assert message.isprintable(), ascii(message)
            if code not in (0x85, 0x2028, 0x2029) or character != chr(code):  # YAML takes these for the end of a line
                assert any(words in message for words in (f"U+{code:04X}", "not allow", "control characters")), message


@pytest.mark.parametrize("text", ["naïve", "σ × φ – “π”", "日本語", "می‌خواهم", "a\nb", "a\tb", "𝜑"])
def test_what_people_write_is_not(text, tmp_path):
    path = tmp_path / "config.yaml"
    content = yaml.safe_load(SMALL + CORE)
    content["datasets"]["digits"]["target_reason"] = text
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    assert Study.from_file(path).config.datasets["digits"].target_reason == text


def test_a_mark_of_byte_order_before_all_else_is_read(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("\ufeff" + SMALL + CORE, encoding="utf-8")
    assert len(Study.from_file(path).runs) == 1


def _check(path):
    """The command's exit code, what it says, its seconds of work and its memory in MB."""
    code = (
        "import re, runpy, sys, time; sys.argv = ['x', 'check', sys.argv[1]]\n"
        "try: runpy.run_module('activation_study', run_name='__main__')\n"
        "finally:\n"
        "    most = re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read()).group(1)\n"
        "    print(time.process_time(), int(most) / 1024, 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )
    *said, used = done.stdout.splitlines()
    seconds, megabytes, torch = used.split()
    return done.returncode, said, done.stderr.splitlines(), float(seconds), float(megabytes), torch == "True"


OVER = "{" + ", ".join(f"f{i}: [{','.join(map(str, range(100)))}]" for i in range(6)) + "}"
ROW = "{test: t, type: exploratory, experiment: core, metric: test_accuracy, over: %s}"
CLAIM = f"claims: [{{id: a, quote: q, rows: [{ROW}]}}]"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["valid", "merge keys", "aliases of mappings", "base sixty", "over", "runs", "device"])
def test_the_command_says_one_line_in_little_time_and_memory(kind, tmp_path):
    path, other = tmp_path / "config.yaml", tmp_path / "mine.yaml"
    text, held = BOMBS.get(kind, (SMALL + CORE, ""))
    if kind == "over":
        other.write_text(CLAIM % OVER, encoding="utf-8")
        text, held = text + f"claims: [{other}]\n", "ask for 1000000000000 arms"
    elif kind == "runs":
        many = ",".join(map(str, range(1, 1001)))
        text, held = SMALL + f"experiments: {{core: {{depth: [{many}], width: [{many}]}}}}\n", "1000000 runs"
    elif kind == "device":
        text, held = text + "claims: [/dev/zero]\n", "/dev/zero: cannot be read as YAML: it is not a regular file"
    path.write_text(text, encoding="utf-8")
    code, said, errors, seconds, megabytes, torch = _check(path)
    if kind == "valid":
        assert (code, errors) == (0, [])
        assert said == [f"{path}: 1 run of 1 activation on 1 dataset in 1 experiment"]
    else:
        assert (code, said) == (1, [])
        (line,) = errors
        assert line.startswith("error: ")
        assert held in line
        assert line.isprintable()
    assert seconds < 4  # Python's own second and those of a machine that does much else are counted
    assert megabytes < 300
    assert not torch
