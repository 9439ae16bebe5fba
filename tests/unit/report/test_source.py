"""Where the page's links to code, claims and literature lead: to what is there, or nowhere."""

import inspect
import re
from pathlib import Path

import pytest
import yaml

from activation_study.claims import rules
from activation_study.report.references import WORKS, cited
from activation_study.report.source import AUTHORS, TITLE, Source, bibtex, in_repository

ROOT = Path(__file__).resolve().parents[3]
HOME = "https://github.com/you/activation-study"
WORK = re.compile(
    r"[A-Z][a-z]+(?: et al\.|(?:, [A-Z][a-z]+)* (?:and|&) [A-Z][a-z]+)?,? \(?(?:19|20)\d\d|\w+ et al\., [A-Z]"
)


@pytest.mark.parametrize("code", ["0123456789ab", "v0.1.0-3-g0123456789ab"])
def test_a_line_is_linked_at_the_commit(code):
    source = Source.of({"repository": f"{HOME}/", "code": code})
    assert f'href="{HOME}/blob/0123456789ab/claims.yaml#L17"' in source.line("claims.yaml", 17)
    assert f'href="{HOME}/tree/0123456789ab"' in source.version(code)


@pytest.mark.parametrize("code", ["0123456789ab-dirty", "unknown", "version 0.1.0", "<b>"])
def test_without_a_commit_there_is_no_link(code):
    source = Source.of({"repository": HOME, "code": code})
    assert source.line("claims.yaml", 17) == "<code>claims.yaml</code>, line 17"
    assert "<a" not in source.version(code)
    assert "<b>" not in source.version(code)


@pytest.mark.parametrize("provenance", [{}, {"code": "0123456789ab"}, {"repository": None, "code": "0123456789ab"}])
def test_without_a_repository_there_is_no_link(provenance):
    assert "<a" not in Source.of(provenance).line("claims.yaml", 17)


def test_a_function_s_line_is_where_it_begins():
    said, text = Source.of({}).function("claims.rules", "holding")
    path, line = re.fullmatch(r"<code>(\S+)</code>, line (\d+)", said).groups()
    assert (ROOT / path).read_text(encoding="utf-8").splitlines()[int(line) - 1].startswith("def holding(")
    assert text == inspect.getsource(rules.holding).rstrip()
    assert Source.of({}).function("claims.rules", "no_such_function") == ("", "")


def test_only_what_lies_in_the_repository_has_a_path_there(tmp_path):
    assert in_repository(str(ROOT / "config" / "tailored_claims.yaml")) == "config/tailored_claims.yaml"
    assert in_repository(str(tmp_path / "claims.yaml")) == ""


def test_the_citation_has_the_facts_of_citation_cff():
    facts = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert facts["title"] == TITLE
    assert [author["name"] for author in facts["authors"]] == [AUTHORS]
    entry = bibtex("default", {"code": "0123456789ab", "repository": HOME}, "2026")
    fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", entry, re.MULTILINE))
    assert fields == {
        "title": f"{{{facts['title']}}}",
        "author": f"{{{AUTHORS}}}",
        "year": "2026",
        "version": f"{facts['version']}, code 0123456789ab",
        "note": "Study default",
        "url": HOME,
    }
    assert "year" not in bibtex("default", {}, "")
    assert "url" not in bibtex("default", {}, "")


def test_every_work_that_claims_cite_has_its_page():
    found = set()
    for file in (ROOT / "claims.yaml", *(ROOT / "config").glob("*_claims.yaml")):
        for claim in yaml.safe_load(file.read_text(encoding="utf-8"))["claims"]:
            said = " ".join(claim.get(key, "") for key in ("known", "source"))
            unlinked = re.sub(r"<a .*?</a>", "", cited(said))
            assert not WORK.search(unlinked), unlinked
            found |= {work for work in WORKS if work in said}
            for work, number in re.findall(r"([A-Z][^;(]*? \d{4}), arXiv:([\d.]+)", claim.get("source", "")):
                assert WORKS[work] == f"https://arxiv.org/abs/{number}"
    assert found == set(WORKS)


def test_works_have_pages_of_doi_or_arxiv():
    assert {address.split("/")[2] for address in WORKS.values()} == {"arxiv.org", "doi.org"}


def test_numbers_of_works_of_one_s_own_are_linked_and_the_rest_is_text():
    said = cited("<b> & doi:10.1000/x-1, arXiv:1234.56789; arXiv:12")
    assert said == (
        '&lt;b&gt; &amp; <a href="https://doi.org/10.1000/x-1">doi:10.1000/x-1</a>, '
        '<a href="https://arxiv.org/abs/1234.56789">arXiv:1234.56789</a>; arXiv:12'
    )
