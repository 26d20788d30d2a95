"""Files of claims: shown, described and written with the names that tables print."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from tests.helpers import answer, run
from tscale.catalogue.claims import Claim, Claims
from tscale.catalogue.hardware import Hardware
from tscale.catalogue.laws import Law
from tscale.catalogue.models import configs
from tscale.estimates.metrics import CLAIMABLE, claimable


def test_show_prints_a_file_of_claims_as_it_stands() -> None:
    shipped = (configs() / "claims" / "article.yaml").read_text(encoding="utf-8")
    assert run("show", "article").out == shipped
    assert run("check", "-", stdin=shipped).out == run("check", "article").out


def test_show_prints_claims_as_json() -> None:
    data = json.loads(run("show", "article", "--format", "json").out)
    assert data["claims"][0] == {"subject": "transformer", "quantity": "year", "claimed": 2017}


def test_claims_are_changed_in_a_file_of_their_own() -> None:
    done = run("show", "article", "--set", "title=mine")
    wanted = "--set changes models and hardware: `tscale show article > my.yaml` begins a file to change claims in"
    assert (done.code, done.err) == (2, f"tscale: {wanted}\n")


def _fields(of: type) -> set[str]:
    return {field.name for field in fields(of)}


@pytest.mark.parametrize("what, of", [("claims", Claims), ("hardware", Hardware), ("laws", Law)])
def test_schema_describes_each_kind_of_file(what: str, of: type) -> None:
    schema = json.loads(run("schema", what).out)
    assert set(schema["properties"]) == _fields(of)


def test_the_schema_of_claims_says_what_each_key_means() -> None:
    schema = json.loads(run("schema", "claims").out)
    claim = schema["$defs"]["Claim"]["properties"]
    assert set(claim) == _fields(Claim)
    assert all(one["description"].endswith((".", ")")) for one in claim.values())
    assert claim["quantity"]["examples"] == list(CLAIMABLE)
    assert "params (parameters)" in claim["quantity"]["description"]


def test_schema_is_of_models_by_default() -> None:
    assert run("schema").out == run("schema", "models").out


@pytest.mark.parametrize("key", CLAIMABLE)
def test_a_quantity_is_known_by_its_key_and_by_the_name_in_tables(key: str) -> None:
    found = claimable(CLAIMABLE[key].name)
    assert claimable(key) is CLAIMABLE[key]
    assert found is not None
    assert found.name == CLAIMABLE[key].name


def claims(tmp_path: Path, line: str) -> Path:
    file = tmp_path / "claims.yaml"
    file.write_text(f"title: mine\nclaims:\n  - {{{line}}}\n", encoding="utf-8")
    return file


def test_a_claim_by_the_name_in_tables_is_the_claim_by_its_key(tmp_path: Path) -> None:
    file = claims(tmp_path, "subject: gpt3, quantity: parameters, claimed: 175e9")
    (by_name,) = answer("check", str(file))["claims"]
    claims(tmp_path, "subject: gpt3, quantity: params, claimed: 175e9")
    assert by_name == answer("check", str(file))["claims"][0]
    assert by_name["quantity"] == "params"


def test_a_misspelt_name_is_suggested_by_its_key(tmp_path: Path) -> None:
    file = claims(tmp_path, "subject: gpt3, quantity: paramters, claimed: 175e9")
    assert 'no quantity "paramters": did you mean params?' in run("check", str(file), "--format", "csv").out.replace(
        '""', '"'
    )


def test_the_quote_of_a_claim_is_shown_where_there_is_one(tmp_path: Path) -> None:
    file = claims(tmp_path, "subject: gpt3, quantity: layers, claimed: 96, quote: it has 96 layers")
    assert "it has 96 layers" in run("check", str(file)).out
    assert run("check", str(file), "--format", "csv").out.splitlines()[1].endswith(",it has 96 layers")
    claims(tmp_path, "subject: gpt3, quantity: layers, claimed: 96")
    assert "quote" not in run("check", str(file)).out


def test_new_writes_claims_to_start_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Valid, with every key of a claim in it or said of it, and all of them hold."""
    monkeypatch.chdir(tmp_path)
    done = run("new", "mine", "--claims")
    assert done.out == "mine.yaml is written: edit it, then `tscale check mine.yaml` audits it\n"
    text = Path("mine.yaml").read_text(encoding="utf-8")
    assert all(f"{name}:" in text for name in _fields(Claim) | _fields(Claims))
    assert answer("check", "mine.yaml")["verdicts"]["holds"] == 3
    assert run("new", "mine", "--claims").code == 1
