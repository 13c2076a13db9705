"""connectors.engine.request: what a template sends."""

from datetime import date
from typing import Any

import pytest

from connectors.base import Subject
from connectors.engine.request import Values, compile_request
from connectors.manifest_text import Refusal
from schemas.manifest import Request

ALL = frozenset({"month", "page", "page_size", "cursor", "ticket"})


def values(**more: Any) -> Values:
    subject = Subject("91990000MA0000015Q", "虚构/一号", more.pop("number", None))
    return Values(subject, (2025, 12), (2026, 2), date(2026, 11, 24), **more)


def compiled(**keys: Any) -> Any:
    return compile_request(Request.model_validate({"path": "/q", **keys}), (), ALL)


def body(template: Any, **more: Any) -> Any:
    return compiled(encode="json", body={"v": template}).draft("https://x", values(**more)).body


@pytest.mark.parametrize(
    ("template", "sent"),
    [
        ("plain", "plain"),
        ("", ""),
        (7, 7),
        (True, True),
        ("{uscc}", "91990000MA0000015Q"),
        ("{name}", "虚构/一号"),
        ("a-{uscc}-{name}-z", "a-91990000MA0000015Q-虚构/一号-z"),
        ("{from:yyyyMM}", "202512"),
        ("{to:yyyyMM}", "202602"),
        ("{from:yyyy-MM-dd}/{to:yyyy-MM-dd}", "2025-12-01/2026-02-28"),
        ("{today:yyyyMMdd}", "20261124"),
        ("{month:yyyy年M月}", "2026年1月"),
        ("{page}", "3"),
        ("{page:number}", 3),
        ("{page_size:number}", 20),
        ("{page_size}", "20"),
        ("{cursor}", "c9"),
        ("{ticket}", "t-1"),
        ("{request_id}", "r-1"),
        ("{registration_number}", "340000000016368"),
        (["{uscc}", {"deep": ["{page}", 1]}], ["91990000MA0000015Q", {"deep": ["3", 1]}]),
    ],
)
def test_a_placeholder_becomes_its_value(template: Any, sent: Any) -> None:
    more = {"month": (2026, 1), "page": 3, "page_size": 20, "cursor": "c9", "ticket": "t-1", "request_id": "r-1"}
    assert body(template, number="340000000016368", **more) == {"v": sent}


def test_what_has_no_value_is_left_out() -> None:
    assert body("{cursor}") == {}
    assert body(["{registration_number}", "x"]) == {"v": ["x"]}
    template = compiled(method="GET", query={"c": "{cursor}", "u": "{uscc}"})
    assert template.draft("https://x", values()).query == (("u", "91990000MA0000015Q"),)


def test_a_name_with_a_slash_stays_one_segment_of_the_path() -> None:
    draft = compiled(path="/firm/{name}/x", method="GET").draft("https://x", values())
    assert draft.wire().url == "https://x/firm/%E8%99%9A%E6%9E%84%2F%E4%B8%80%E5%8F%B7/x"


def test_xml_bodies_cannot_be_broken_by_a_value() -> None:
    template = compiled(encode="xml", charset="gb18030", body={"r": {"n": "{name}"}})
    value = values()
    value.subject = Subject("91990000MA0000015Q", "</n><x>虚构&")
    sent = template.draft("https://x", value).wire().body.decode("gb18030")
    assert sent.endswith("<r><n>&lt;/n&gt;&lt;x&gt;虚构&amp;</n></r>")


def test_headers_take_a_request_id_and_a_body_may_be_missing() -> None:
    template = compiled(method="GET", headers={"X-Request-Id": "{request_id}"})
    draft = template.draft("https://x", values(request_id="r-1"))
    assert dict(draft.headers) == {"X-Request-Id": "r-1"}
    assert draft.wire().body == b""


def test_a_template_says_which_placeholders_it_uses() -> None:
    assert compiled(encode="json", body={"a": "{from:yyyyMM}"}, path="/{ticket}").placeholders == {"from", "ticket"}


@pytest.mark.parametrize("text", ["{", "}", "{}", "{USCC}", "{uscc!r}", "{uscc.x}", "{0}", "{{uscc}}", "{page:x}"])
def test_anything_else_in_braces_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        body(text)
    assert caught.value.at == ("body", "v")


def test_a_placeholder_without_meaning_here_is_refused() -> None:
    for name in sorted(ALL):
        request = Request.model_validate({"path": "/q", "query": {"v": f"{{{name}}}"}})
        with pytest.raises(Refusal):
            compile_request(request, (), frozenset())
