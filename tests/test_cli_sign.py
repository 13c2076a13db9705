"""``connectors sign --verify``: the text of both sides, where they part, and why a message does not hold."""

import json
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors.signing.verifying import Why
from gateway.cli.main import main
from gateway.cli.sign import REASONS, parting
from tests.signing_world import CASES, DRAFT, Case

AT = "2026-11-24T06:00:00+00:00"  # signing_world.NOW
Verify = Callable[..., tuple[int, Any]]

EVERY = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@pytest.fixture
def verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Verify:
    monkeypatch.chdir(tmp_path)

    def run(case: Case, sent: Mapping[str, Any], *options: str) -> tuple[int, Any]:
        asked = {
            "method": DRAFT.method,
            "base_url": DRAFT.base_url,
            "path": DRAFT.path,
            "query": dict(DRAFT.query),
            "body": DRAFT.body,
            "encode": "json",
            "options": case.options,
        }
        files = {"request": asked, "credentials": case.theirs or case.ours, "verify": sent}
        for name, content in files.items():
            Path(name).write_text(json.dumps(content))
        pairs = [text for name in files for text in (f"--{name}", name)]
        at = () if "--at" in options else ("--at", AT)
        monkeypatch.setattr(sys, "argv", ["xinqiao", "connectors", "sign", case.scheme, *pairs, *at, *options])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        out = capsys.readouterr()
        return status, json.loads(out.out) if "--json" in options else out.out + out.err

    return run


def sent(case: Case) -> dict[str, Any]:
    request = case.signed()
    body = {"body_base64": b64encode(request.body).decode()}
    return {"method": request.method, "url": request.url, "headers": dict(request.headers), **body}


@EVERY
def test_a_message_that_holds_is_said_to_hold(verify: Verify, case: Case) -> None:
    status, told = verify(case, sent(case), "--json")
    assert status == 0
    assert told["holds"] is True
    assert told["parts_at"] is None


@EVERY
def test_a_message_from_another_time_is_stale(verify: Verify, case: Case) -> None:
    status, told = verify(case, sent(case), "--json", "--at", "2026-11-24T07:00:00+00:00")
    assert (status, told["why"]) == (1, "stale")


def test_what_was_changed_on_the_way_is_where_the_texts_part(verify: Verify) -> None:
    case = CASES["rsa2"]
    message = sent(case)
    message["body_base64"] = b64encode(case.signed().body.replace(b'"n":5', b'"n":6')).decode()
    status, told = verify(case, message, "--json")
    assert (status, told["why"]) == (1, "forged")
    ours = "app_id=<app_id>&n="
    assert told["parts_at"]["column"] == len(ours) + 1
    assert (told["parts_at"]["ours"][0], told["parts_at"]["theirs"][0]) == ("5", "6")
    assert told["canonical"]["ours"].startswith(ours)


def test_people_are_told_in_both_languages(verify: Verify) -> None:
    case = CASES["bg-hmac"]
    message = sent(case)
    message["url"] = message["url"].replace("?a=", "?c=")
    status, told = verify(case, message)
    assert status == 1
    assert "they part at line 3, character 1: 'a=1%202&b=" in told
    assert REASONS[Why.FORGED][0] in told
    assert REASONS[Why.FORGED][1] in told
    assert verify(case, sent(case))[1].rstrip().endswith("the signature holds")


def test_the_platforms_own_text_is_held_against_ours_with_its_secrets_masked(verify: Verify) -> None:
    token = "a-token-nobody-should-see"
    case = Case("tif", {}, {"paasid": "p", "token": token}, {})
    status, told = verify(case, {**sent(case), "canonical": f"1795500001{token}abc123nonce1795500001"}, "--json")
    assert (status, told["holds"]) == (0, True)
    assert told["canonical"]["theirs"] == "1795500001<token>abc123nonce1795500001"
    assert told["parts_at"] == {
        "line": 1,
        "column": 10,
        "ours": "0<token>abc123nonce1795500000",
        "theirs": "1<token>abc123nonce1795500001",
    }


def test_a_message_without_its_headers_has_no_text_to_show(verify: Verify) -> None:
    case = CASES["tif"]
    status, told = verify(case, {**sent(case), "headers": {}}, "--json")
    assert (status, told) == (1, {"holds": False, "why": "missing", "canonical": {}, "parts_at": None})


def test_with_the_platforms_key_alone_there_is_only_what_came(verify: Verify) -> None:
    case = CASES["md5-rotating"]
    status, told = verify(case, sent(case), "--json")
    assert status == 0
    assert told["canonical"]["ours"] == told["canonical"]["theirs"]


def test_a_file_that_is_none_is_wrong_use(verify: Verify) -> None:
    assert verify(CASES["tif"], {"url": "x"})[0] == 2


def test_every_reason_has_words() -> None:
    assert REASONS.keys() == set(Why)


@pytest.mark.parametrize(
    ("ours", "theirs", "place"),
    [("a\nb", "a\nb", None), ("a\nbc", "a\nbd", (2, 2)), ("a", "a\n", (1, 2)), ("", "x", (1, 1)), ("a\n", "a", (1, 2))],
)
def test_the_place_where_two_texts_part(ours: str, theirs: str, place: tuple[int, int] | None) -> None:
    found = parting(ours, theirs)
    assert (found and (found["line"], found["column"])) == place


@pytest.mark.parametrize(
    "told", [{"body": {"n": 5}}, {"body": "<a/>", "encode": "xml"}, {"body": {}, "encode": "none"}]
)
def test_a_body_that_would_not_be_sent_is_refused_and_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], told: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("request").write_text(json.dumps({"method": "POST", "base_url": "https://p.invalid", "path": "/q", **told}))
    Path("credentials").write_text("{}")
    words = ["connectors", "sign", "none", "--request", "request", "--credentials", "credentials"]
    monkeypatch.setattr(sys, "argv", ["xinqiao", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "at=request.body" in capsys.readouterr().err
