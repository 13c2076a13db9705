"""Each platform in its own dialect: what it says equals the truth, and it turns bad callers away in its own words."""

import base64
import json
from dataclasses import replace
from datetime import date
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from connectors.sandbox.credentials import secrets_of
from connectors.sandbox.identity import uscc_of
from connectors.sandbox.platforms.base import Platform
from connectors.sandbox.platforms.hrss import hrss_signature, leaves
from connectors.sandbox.server import PLATFORMS
from connectors.sandbox.verify import Refused, Why
from connectors.sandbox.views import PLATFORM_OF, view
from connectors.sandbox.wire import Answer, Call
from connectors.sandbox.world import World
from connectors.sm2 import hmac_sm3, sm3
from tests.sandbox_callers import CALLERS, NOW, Ask, cases, hrss_json, later, read, soap, token

SECRETS = secrets_of(1)
WORLD = World(1, lambda: NOW)
FIRST, LAST = 2024 * 12 + 11, 2026 * 12 + 10
A_DATASET = {platform: dataset for dataset, platform in reversed(PLATFORM_OF.items())} | {
    "core-enterprise": "receivables",
    "district-huangpu": "policy_support",
}
PLACES = [
    *((platform, dataset) for dataset, platform in PLATFORM_OF.items() if platform != "bank-internal"),
    ("core-enterprise", "receivables"),
    ("district-huangpu", "policy_support"),
]
SIGNED = sorted(CALLERS)


KINDS = {kind.id: kind for kind in PLATFORMS}


def new(platform: str) -> Platform:
    """A platform that has seen no nonce yet."""
    return KINDS[platform](WORLD, SECRETS[platform])


LONG_RUNNING = {platform: new(platform) for platform in KINDS}
NUMBERS = count()


def ask(platform: str, **changes: Any) -> Ask:
    return Ask(**({"secrets": SECRETS[platform], "dataset": A_DATASET[platform], "uscc": uscc_of(0)} | changes))


def a_month(platform: str) -> str:
    return "2026-09" if platform == "sh-hpf" else "2024-12"


def good(platform: str, **changes: Any) -> Call:
    return CALLERS[platform](ask(platform, **({"first": a_month(platform)} | changes)))


def code_of(platform: str, answer: Answer) -> Any:
    """The place where each dialect says how it went."""
    if platform == "sh-hrss":
        return hrss_json(answer.body)["head"]["rtn"]
    if platform == "ccrc-receivables":
        return soap(answer.body)[0]["Code"]
    if platform == "sh-housing" and answer.status == 401:
        return json.loads(answer.body)["message"]
    reply = json.loads(answer.body.removeprefix(b"\xef\xbb\xbf"))
    if platform == "core-enterprise":
        return reply.get("error") or reply.get("message") or reply["total"]
    places = ("retCode", "rspCode", "code", "ret", "ErrorCode", "errcode", "status", "error")
    return reply["HEAD"]["CODE"] if "HEAD" in reply else next(reply[p] for p in places if p in reply)


def same(row: dict[str, Any], truth: dict[str, Any]) -> None:
    right = {k: v.isoformat() if isinstance(v, date) else v for k, v in truth.items()}
    assert {k: v for k, v in row.items() if v is not None} == {k: v for k, v in right.items() if v is not None}


def fetch(platform: Platform, dataset: str, uscc: str) -> list[dict[str, Any]]:
    """All pages or months of one data set, each call with a nonce of its own."""
    rows: list[dict[str, Any]] = []
    if platform.id == "sh-court":
        bearer = json.loads(platform.answer(token(platform.secrets)).body)["access_token"]  # type: ignore[arg-type]
        cursor: str | None = ""
        while cursor is not None:
            answer = platform.answer(cases(bearer, uscc, cursor))
            rows += read(platform.id, dataset, answer.body)[0]
            cursor = json.loads(answer.body)["result"]["next"]
        return rows
    if platform.id == "sh-hpf":
        for month in range(FIRST, LAST + 1):
            text = f"{month // 12}-{month % 12 + 1:02d}"
            call = CALLERS[platform.id](ask(platform.id, uscc=uscc, first=text, nonce=f"month-{next(NUMBERS):06d}"))
            rows += read(platform.id, dataset, platform.answer(call).body)[0]
        return rows
    page, more = 1, True
    while more:
        nonce = f"page-{next(NUMBERS):06d}"
        call = CALLERS[platform.id](ask(platform.id, dataset=dataset, uscc=uscc, page=page, nonce=nonce))
        found, several = read(platform.id, dataset, platform.answer(call).body)
        rows += found
        more = bool(found) and several
        page += 1
    return rows


@settings(max_examples=20, deadline=None)
@given(st.integers(10, 3000))
def test_what_the_platforms_say_is_the_truth_in_their_dialects(n: int) -> None:
    uscc = uscc_of(n)
    e = WORLD.enterprise(n)
    for platform, dataset in PLACES:
        if dataset in ("social_insurance", "provident_fund") and n % 5:
            continue  # many rows and calls: one enterprise in five is enough
        found, right = fetch(LONG_RUNNING[platform], dataset, uscc), view(e, dataset, FIRST, LAST, platform)
        assert len(found) == len(right), dataset
        for row, truth in zip(found, right, strict=True):
            same(row, truth)


@pytest.mark.parametrize("dataset", ["real_estate", "tax_returns", "judicial", "permits", "receivables", "guarantees"])
def test_lists_longer_than_a_page_come_whole_and_once(dataset: str) -> None:
    page = {"real_estate": 20, "tax_returns": 20, "judicial": 10, "permits": 10, "receivables": 5, "guarantees": 5}
    n = next(n for n in range(10, 3000) if len(view(WORLD.enterprise(n), dataset, FIRST, LAST)) > page[dataset])
    found = fetch(new(PLATFORM_OF[dataset]), dataset, uscc_of(n))
    assert len(found) == len(view(WORLD.enterprise(n), dataset, FIRST, LAST))
    assert len({json.dumps(row, default=str) for row in found}) == len(found)


@pytest.mark.parametrize(("platform", "dataset"), [place for place in PLACES if place[0] != "sh-hpf"])
def test_every_data_set_is_read_as_its_truth_also_where_few_have_it(platform: str, dataset: str) -> None:
    n = next(n for n in range(10, 3000) if view(WORLD.enterprise(n), dataset, FIRST, LAST, platform))
    found = fetch(new(platform), dataset, uscc_of(n))
    for row, truth in zip(found, view(WORLD.enterprise(n), dataset, FIRST, LAST, platform), strict=True):
        same(row, truth)


NO_RECORD = {
    "sh-registry": 200,
    "sh-hrss": "1004",
    "sh-hpf": "2001",
    "sh-housing": 0,
    "sh-tax": "01",
    "credit-sh": 0,
    "ccrc-receivables": "0000",
    "guarantee-fund": "NOD0000",
    "yunlian": "NUL0000",
    "core-enterprise": 0,
    "acfic-sh": "1001",
    "pudong-credit": 0,
    "district-huangpu": "20",
}


@pytest.mark.parametrize("uscc", [uscc_of(9), "91340000711771143J", "nobody"])
@pytest.mark.parametrize("platform", SIGNED)
def test_an_unknown_enterprise_is_no_record_in_the_platforms_own_words(platform: str, uscc: str) -> None:
    answer = new(platform).answer(good(platform, uscc=uscc))
    assert (answer.status, answer.verdict) == (200, "no_record")
    assert code_of(platform, answer) == NO_RECORD[platform]
    assert read(platform, A_DATASET[platform], answer.body)[0] == []


REFUSALS = (Why.FORGED, Why.STALE, Why.REPLAYED, Why.MISSING, Why.UNKNOWN, Why.MALFORMED)
CODES: dict[str, dict[Why, object]] = {
    platform: dict(zip(REFUSALS, codes, strict=True))
    for platform, codes in {
        "sh-registry": (301, 302, 302, 301, 301, 300),
        "sh-hrss": ("2001", "2002", "2003", "2001", "2001", "3001"),
        "sh-hpf": ("4001", "4002", "4003", "4001", "4001", "4005"),
        "sh-housing": (
            "Invalid signature",
            "Clock skew exceeded",
            None,
            "Missing header",
            "Invalid access key",
            411,
        ),
        "sh-tax": ("11", "12", "13", "11", "11", "99"),
        "credit-sh": (400000401, 400000400, 400000400, 400000400, 400000403, 500000001),
        "ccrc-receivables": ("E401", "E408", "E409", "E401", "E401", "E400"),
        "guarantee-fund": ("SGN0001", "TIM0001", "NON0001", "SGN0001", "SGN0001", "PAR0001"),
        "yunlian": ("SIG0002", "SIG0003", "SIG0004", "SIG0001", "SIG0001", "PRM0001"),
        "core-enterprise": (
            "Invalid signature",
            "Clock skew exceeded",
            None,
            "Missing header",
            "Invalid access key",
            "BAD_REQUEST",
        ),
        "acfic-sh": ("4001", "4002", "4003", "4001", "4001", "4000"),
        "pudong-credit": (4011, 4012, 4013, 4010, 4010, 4000),
        "district-huangpu": ("41", "42", "43", "41", "41", "40"),
    }.items()
}
KEYS = {
    "sh-registry": "app_secret", "sh-hrss": "app_key", "sh-hpf": "private_key", "sh-housing": "secret_key",
    "sh-tax": "private_key", "credit-sh": "token", "ccrc-receivables": "client_secret", "guarantee-fund": "private_key",
    "yunlian": "private_key", "core-enterprise": "secret_key", "acfic-sh": "token", "pudong-credit": "app_key",
    "district-huangpu": "app_key",
}  # fmt: skip
NO_NONCE = ("sh-housing", "core-enterprise")
"""Their dates have steps of a second: a lawful repeat looks like a replay."""
APPS = {
    "sh-registry": "rid", "sh-hrss": "app_id", "sh-hpf": "app_id", "sh-housing": "access_key", "sh-tax": "app_id",
    "credit-sh": "paasid", "ccrc-receivables": "client_id", "guarantee-fund": "app_id",
    "yunlian": "mer_id", "core-enterprise": "access_key", "acfic-sh": "paasid", "pudong-credit": "app_id",
    "district-huangpu": "app_id",
}  # fmt: skip
OTHERS = secrets_of(2)
"""Secrets of the right shape that belong to another sandbox."""


def refused(platform: str, call: Call, why: Why) -> None:
    answer = new(platform).answer(call)
    assert answer.verdict == why
    assert answer.uscc is None
    assert answer.status == (401 if platform in NO_NONCE and why is not Why.MALFORMED else 200)
    assert code_of(platform, answer) == CODES[platform][why]


@pytest.mark.parametrize("platform", SIGNED)
def test_a_good_call_is_answered(platform: str) -> None:
    answer = new(platform).answer(good(platform))
    assert (answer.status, answer.verdict, answer.uscc) == (200, "answered", uscc_of(0))


@pytest.mark.parametrize("platform", SIGNED)
def test_the_right_shape_with_the_wrong_key_is_refused(platform: str) -> None:
    key = KEYS[platform]
    refused(platform, good(platform, secrets=SECRETS[platform] | {key: OTHERS[platform][key]}), Why.FORGED)


@pytest.mark.parametrize("platform", SIGNED)
def test_an_unknown_application_is_refused(platform: str) -> None:
    refused(platform, good(platform, secrets=SECRETS[platform] | {APPS[platform]: "nobody"}), Why.UNKNOWN)


@pytest.mark.parametrize("seconds", [-1000.0, 400.0])
@pytest.mark.parametrize("platform", SIGNED)
def test_a_stale_or_early_timestamp_is_refused(platform: str, seconds: float) -> None:
    refused(platform, good(platform, at=NOW + seconds), Why.STALE)


@pytest.mark.parametrize("platform", [p for p in SIGNED if p not in NO_NONCE])
def test_a_replayed_nonce_is_refused(platform: str) -> None:
    one = new(platform)
    assert one.answer(good(platform)).verdict == "answered"
    again = one.answer(good(platform))
    assert again.verdict == Why.REPLAYED
    assert code_of(platform, again) == CODES[platform][Why.REPLAYED]


def test_the_real_estate_register_has_no_nonce_and_takes_the_same_request_again() -> None:
    one = new("sh-housing")
    assert [one.answer(good("sh-housing")).verdict for _ in range(2)] == ["answered", "answered"]


def test_the_register_takes_another_body_in_the_same_millisecond() -> None:
    one = new("sh-registry")
    assert one.answer(good("sh-registry")).verdict == "answered"
    assert one.answer(good("sh-registry", uscc=uscc_of(1))).verdict == "answered"


@pytest.mark.parametrize("platform", [p for p in SIGNED if p not in (*NO_NONCE, "sh-registry")])
def test_a_forged_request_does_not_burn_the_nonce(platform: str) -> None:
    one, key = new(platform), KEYS[platform]
    assert one.answer(good(platform, secrets=SECRETS[platform] | {key: OTHERS[platform][key]})).verdict == Why.FORGED
    assert one.answer(good(platform)).verdict == "answered"


MUST_HAVE = {
    "sh-registry": ("gjzwfwpt_rid", "gjzwfwpt_sid", "gjzwfwpt_rtime", "gjzwfwpt_sign"),
    "sh-hrss": ("X-App", "X-Ts", "X-Nonce", "X-Sign"),
    "sh-hpf": ("app_id", "method", "timestamp", "nonce", "biz", "sign"),
    "sh-housing": ("X-BG-HMAC-ACCESS-KEY", "X-BG-HMAC-ALGORITHM", "X-BG-HMAC-SIGNATURE", "X-BG-DATE-TIME"),
    "sh-tax": ("app_id", "method", "timestamp", "nonce", "sign_type", "sign"),
    "credit-sh": ("x-tif-paasid", "x-tif-timestamp", "x-tif-nonce", "x-tif-signature"),
    "ccrc-receivables": ("X-Zd-Client", "X-Zd-Time", "X-Zd-Nonce", "X-Zd-Signature"),
    "guarantee-fund": ("APPID", "SERVICE", "TIMESTAMP", "NONCE", "SIGN"),
    "yunlian": ("merId", "reqTime", "reqNo", "signature"),
    "core-enterprise": ("X-HMAC-ACCESS-KEY", "X-HMAC-ALGORITHM", "X-HMAC-SIGNATURE", "Date"),
    "acfic-sh": ("x-rio-paasid", "x-rio-timestamp", "x-rio-nonce", "x-rio-signature"),
    "pudong-credit": ("X-PD-App", "X-PD-Time", "X-PD-Nonce", "X-PD-Sign"),
    "district-huangpu": ("X-Qx-Id", "X-Qx-Time", "X-Qx-Nonce", "X-Qx-Sign"),
}


@pytest.mark.parametrize(("platform", "what"), [(p, w) for p, names in MUST_HAVE.items() for w in names])
def test_whatever_is_missing_is_refused(platform: str, what: str) -> None:
    refused(platform, good(platform, without=what), Why.MISSING)


@pytest.mark.parametrize("platform", [p for p in SIGNED if p not in (*NO_NONCE, "sh-registry")])
def test_a_nonce_out_of_its_form_is_refused(platform: str) -> None:
    refused(platform, good(platform, nonce="short"), Why.MISSING)
    refused(platform, good(platform, nonce="n" * 65), Why.MISSING)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([p for p in SIGNED if p not in (*NO_NONCE, "sh-registry", "credit-sh", "acfic-sh")]), st.data())
def test_any_changed_byte_of_a_signed_body_is_refused(platform: str, data: st.DataObject) -> None:
    call = good(platform)
    # A share of the length: a signature written in decimal digits is not always equally long.
    place = data.draw(st.integers(0, 999)) * (len(call.body) - 1) // 999
    body = call.body[:place] + bytes([call.body[place] ^ data.draw(st.integers(1, 255))]) + call.body[place + 1 :]
    one = new(platform)
    verdict = one.answer(replace(call, body=body)).verdict
    # In a form or JSON body a byte may change and mean the same (%2b for %2B, the case of a hex digit).
    if verdict == "answered":
        assert body.lower() == call.body.lower()


MALFORMED: list[tuple[str, dict[str, Any]]] = [
    ("sh-registry", {"uniscid": None}),
    ("sh-registry", {"uniscid": 5}),
    ("sh-hrss", {"aab003": None}),
    ("sh-hrss", {"aab003": "<b>1</b>"}),
    ("sh-hrss", {"ksny": "2026-1"}),
    ("sh-hrss", {"jsny": "202613"}),
    ("sh-hrss", {"pageNo": "0"}),
    ("sh-hrss", {"pageSize": "101"}),
    ("sh-hpf", {"tyshxydm": None}),
    ("sh-hpf", {"ny": "九月"}),
    ("sh-hpf", {"method": "other"}),
    ("sh-hpf", {"biz": "zz"}),
    ("sh-hpf", {"biz": "00" * 16}),
    ("sh-hpf", {"biz": "00"}),
    ("sh-housing", {"tyshxydm": None}),
    ("sh-housing", {"pageNo": "x"}),
    ("sh-housing", {"pageSize": 21}),
    ("sh-tax", {"method": "tax.none"}),
    ("sh-tax", {"ssqq": "2026"}),
    ("sh-tax", {"page": "-1"}),
    ("credit-sh", {"pageNum": True}),
    ("credit-sh", {"pageSize": 11}),
    ("credit-sh", {"xdr_shxym": ""}),
    ("ccrc-receivables", {"Page": 1.5}),
    ("ccrc-receivables", {"CreditCode": None}),
    ("guarantee-fund", {"SERVICE": "NONE"}),
    ("guarantee-fund", {"PAGE": "0"}),
    ("guarantee-fund", {"USCC": None}),
    ("yunlian", {"pageIndex": "x"}),
    ("yunlian", {"custCode": None}),
    ("core-enterprise", {"partner": None}),
    ("core-enterprise", {"limit": 51}),
    ("acfic-sh", {"creditCode": None}),
    ("pudong-credit", {"pageSize": 21}),
    ("pudong-credit", {"tyshxydm": 5}),
    ("district-huangpu", {"tyshxydm": None}),
]


@pytest.mark.parametrize(("platform", "extra"), MALFORMED)
def test_a_signed_request_that_asks_nonsense_fails(platform: str, extra: dict[str, Any]) -> None:
    refused(platform, good(platform, extra=extra), Why.MALFORMED)


@pytest.mark.parametrize(
    ("platform", "body"),
    [
        ("sh-hpf", b"\xff"),
        ("sh-hpf", b"a=1&a=2"),
        ("sh-tax", b"no pairs"),
        ("guarantee-fund", b"[]"),
        ("guarantee-fund", b"{"),
        ("guarantee-fund", b'{"APPID":1}'),
        ("yunlian", b'{"merId":1}'),
    ],
)
def test_a_body_that_cannot_be_read_fails(platform: str, body: bytes) -> None:
    refused(platform, replace(good(platform), body=body), Why.MALFORMED)


def test_a_register_request_that_is_no_json_object_fails() -> None:
    for body in (b"", b"5", b"\xff\xfe"):
        refused("sh-registry", replace(good("sh-registry"), body=body), Why.MALFORMED)


def test_a_sid_of_another_interface_is_refused() -> None:
    call = good("sh-registry", dataset="registration")
    refused("sh-registry", replace(call, path="/sh-registry/api/investor"), Why.UNKNOWN)


@pytest.mark.parametrize("when", ["yesterday", "Tue, 24 Nov 2026 05:20:00 +0000", ""])
def test_a_date_that_is_not_rfc_1123_in_gmt_is_refused(when: str) -> None:
    call = good("sh-housing")
    headers = CIMultiDict(call.headers)
    headers["X-BG-DATE-TIME"] = when
    refused("sh-housing", replace(call, headers=headers), Why.STALE if when else Why.MISSING)


@pytest.mark.parametrize(
    ("platform", "header"), [("sh-housing", "X-BG-HMAC-ALGORITHM"), ("core-enterprise", "X-HMAC-ALGORITHM")]
)
def test_another_algorithm_is_refused(platform: str, header: str) -> None:
    call = good(platform)
    headers = CIMultiDict(call.headers)
    headers[header] = "hmac-md5"
    refused(platform, replace(call, headers=headers), Why.FORGED)


def test_the_outlet_gives_a_token_for_the_right_secret_and_data_for_a_token_that_still_holds() -> None:
    one, secrets = new("sh-ywtb"), SECRETS["sh-ywtb"]

    def granted(client: str, secret: str, now: float = NOW) -> Answer:
        body = f"grant_type=client_credentials&client_id={client}&client_secret={secret}".encode()
        return one.answer(Call("POST", "/sh-ywtb/oauth2/getToken", "", CIMultiDict(), body, now))

    def rows(token: str, body: bytes, now: float = NOW) -> Answer:
        headers = CIMultiDict({"Authorization": f"Bearer {token}"})
        return one.answer(Call("POST", "/sh-ywtb/share/registration", "", headers, body, now))

    assert granted("nobody", secrets["client_secret"]).verdict == Why.UNKNOWN
    assert granted(secrets["client_id"], "of another").verdict == Why.FORGED
    client, secret = secrets["client_id"], secrets["client_secret"]
    bearer = json.loads(granted(client, secret).body)["access_token"]
    asked = json.dumps({"creditCode": uscc_of(0), "pageNum": 1, "pageSize": 1}).encode()
    assert rows(bearer, asked).verdict == "answered"
    assert json.loads(rows(bearer, asked).body)["data"]["source"] == "sh-registry"
    assert (rows("invented", asked).status, rows(bearer, asked, NOW + 1200).verdict) == (401, Why.TOKEN)
    assert (rows(bearer, b"{}").verdict, code_of("sh-ywtb", rows(bearer, b"{}"))) == (Why.MALFORMED, "400")
    # The one that has ended is forgotten when the next is given.
    assert json.loads(granted(client, secret, NOW + 1200).body)["access_token"] != bearer


@pytest.mark.parametrize("platform", ["sh-tax", "guarantee-fund", "sh-hpf"])
def test_a_signature_text_that_is_no_signature_is_refused(platform: str) -> None:
    def spoil(given: dict[str, str]) -> dict[str, str]:
        return given | {"SIGN" if platform == "guarantee-fund" else "sign": "no signature!"}

    call = good(platform)
    if platform == "guarantee-fund":
        body = json.dumps(spoil(json.loads(call.body))).encode()
    else:
        pairs = [part.split("=") for part in call.body.decode().split("&")]
        body = "&".join(f"{k}={v}" for k, v in spoil(dict(pairs)).items()).replace(" ", "+").encode()
    refused(platform, replace(call, body=body), Why.FORGED)


def test_a_tax_call_with_another_sign_type_or_time_form_is_refused() -> None:
    refused("sh-tax", good("sh-tax", extra={"sign_type": "RSA"}), Why.FORGED)
    refused("sh-tax", good("sh-tax", extra={"timestamp": "2026-11-24T13:20:00"}), Why.STALE)


def test_the_signature_of_the_credit_platform_may_be_upper_case() -> None:
    call = good("credit-sh")
    headers = CIMultiDict(call.headers)
    headers["x-tif-signature"] = headers["x-tif-signature"].upper()
    assert new("credit-sh").answer(replace(call, headers=headers)).verdict == "answered"


@pytest.mark.parametrize("platform", SIGNED)
def test_an_unknown_path_or_method_is_not_found(platform: str) -> None:
    for call in (replace(good(platform), path=f"/{platform}/nothing"), replace(good(platform), method="PUT")):
        answer = new(platform).answer(call)
        if platform == "credit-sh":
            assert (answer.status, code_of(platform, answer)) == (200, 400000404)
        else:
            assert (answer.status, answer.verdict) == (404, Why.NOT_FOUND)


BUSY = {
    "sh-registry": 305, "sh-hrss": "9001", "sh-hpf": "5001", "sh-housing": 429, "sh-tax": "91", "sh-court": "busy",
    "credit-sh": 400000429, "ccrc-receivables": "E503", "guarantee-fund": "BSY0001", "yunlian": "BSY0009",
    "core-enterprise": "BUSY", "acfic-sh": "5003", "pudong-credit": 5030, "district-huangpu": "90", "sh-ywtb": "503",
}  # fmt: skip


@pytest.mark.parametrize("platform", sorted(BUSY))
def test_a_busy_platform_says_so_in_its_own_words(platform: str) -> None:
    answer = new(platform).refuse(Why.BUSY)
    assert (answer.status, answer.verdict, code_of(platform, answer)) == (200, "busy", BUSY[platform])


def test_hrss_says_how_long_to_wait() -> None:
    assert hrss_json(new("sh-hrss").refuse(Why.BUSY).body)["head"]["wait"] == 1


def test_the_hrss_template_is_signed_with_its_last_newline() -> None:
    digest = sm3(b"body").hex()
    right = hmac_sm3(b"key", f"app\n1\nnonce\n{digest}\n".encode()).hex().upper()
    assert hrss_signature("key", "app", "1", "nonce", b"body") == right


@pytest.mark.parametrize("body", [b"", b"<Request></Request>", b"<?xml?><Request>x</Request>", b"\xff\xff"])
def test_an_hrss_document_is_flat_and_declared(body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        leaves(body)
    assert caught.value.why is Why.MALFORMED


def test_hrss_texts_are_unescaped_gb18030() -> None:
    document = '<?xml version="1.0" encoding="gb18030"?><Request><aab004>虚构&amp;㐀</aab004></Request>'
    assert leaves(document.encode("gb18030")) == {"aab004": "虚构&㐀"}


def test_some_receivables_have_full_width_digits_and_some_have_not() -> None:
    one, shapes = new("ccrc-receivables"), set[bool]()
    for n in range(10, 40):
        call = CALLERS["ccrc-receivables"](ask("ccrc-receivables", uscc=uscc_of(n), nonce=f"nonce-{n:06d}"))
        shapes |= {row["Amount"].isascii() for row in soap(one.answer(call).body)[1]}
    assert shapes == {True, False}


def test_some_guarantee_replies_carry_a_withdrawn_row() -> None:
    reply = json.loads(new("guarantee-fund").answer(good("guarantee-fund")).body)
    assert [row["ROWCODE"] for row in reply["BODY"]["ROWS"]] == ["SUC0000", "DEL0000"]
    assert reply["BODY"]["TJY"] == "2026年10月"


# --- sh-court: tokens -------------------------------------------------------------------------------------------------


def court() -> tuple[Platform, str]:
    one = new("sh-court")
    return one, json.loads(one.answer(token(SECRETS["sh-court"])).body)["access_token"]


def test_a_token_opens_the_court_for_half_an_hour() -> None:
    one, bearer = court()
    assert one.answer(cases(bearer, uscc_of(5))).verdict == "answered"
    assert one.answer(later(cases(bearer, uscc_of(5)), 1799)).verdict == "answered"
    late = one.answer(later(cases(bearer, uscc_of(5)), 1800))
    assert (late.status, late.verdict, late.headers["WWW-Authenticate"]) == (
        401,
        Why.TOKEN,
        'Bearer error="invalid_token"',
    )


def test_without_a_token_or_with_an_invented_one_the_court_stays_shut() -> None:
    one, bearer = court()
    for call in (
        cases("", uscc_of(5)),
        cases("x" * 64, uscc_of(5)),
        replace(cases(bearer, "x"), headers=CIMultiDict()),
    ):
        answer = one.answer(call)
        assert (answer.status, json.loads(answer.body)) == (401, {"error": "invalid_token"})


def test_tokens_differ_and_old_ones_are_forgotten() -> None:
    one, bearer = court()
    second = json.loads(one.answer(token(SECRETS["sh-court"])).body)["access_token"]
    assert second != bearer
    one.answer(later(token(SECRETS["sh-court"]), 1801))
    assert len(one._tokens) == 1  # type: ignore[attr-defined]


def test_the_client_may_authenticate_in_the_form() -> None:
    secrets = SECRETS["sh-court"]
    body = f"grant_type=client_credentials&client_id={secrets['client_id']}&client_secret={secrets['client_secret']}"
    call = replace(token(secrets), headers=CIMultiDict(), body=body.encode())
    assert json.loads(new("sh-court").answer(call).body)["token_type"] == "Bearer"


def basic(text: bytes) -> CIMultiDict[str]:
    return CIMultiDict({"Authorization": f"Basic {base64.b64encode(text).decode()}"})


@pytest.mark.parametrize(
    "headers",
    [
        CIMultiDict[str](),
        basic(b"sandbox-court:wrong"),
        basic(b"other:x"),
        basic(b"\xff"),
        CIMultiDict({"Authorization": "Basic *"}),
    ],
)
def test_a_wrong_client_gets_no_token(headers: CIMultiDict[str]) -> None:
    answer = new("sh-court").answer(replace(token(SECRETS["sh-court"]), headers=headers))
    assert (answer.status, json.loads(answer.body)) == (401, {"error": "invalid_client"})


def test_another_grant_gets_no_token() -> None:
    answer = new("sh-court").answer(replace(token(SECRETS["sh-court"]), body=b"grant_type=password"))
    assert (answer.status, json.loads(answer.body)) == (400, {"error": "unsupported_grant_type"})


def test_a_cursor_belongs_to_one_enterprise() -> None:
    one, bearer = court()
    n = next(n for n in range(10, 3000) if WORLD.enterprise(n).counts["judgments"] > 10)
    cursor = json.loads(one.answer(cases(bearer, uscc_of(n))).body)["result"]["next"]
    assert len(read("sh-court", "judicial", one.answer(cases(bearer, uscc_of(n), cursor)).body)[0]) == 10
    for uscc, bad in (
        (uscc_of(n + 1), cursor),
        (uscc_of(n), "c20.000000000000"),
        (uscc_of(n), "x"),
        (uscc_of(n), "c1234567.0"),
    ):
        answer = one.answer(cases(bearer, uscc, bad))
        assert (answer.status, json.loads(answer.body)["status"]) == (200, "error")


def test_the_court_knows_one_path() -> None:
    one, bearer = court()
    assert one.answer(replace(cases(bearer, "x"), path="/sh-court/api/other")).status == 404


def test_a_platform_must_say_how_it_serves_and_refuses() -> None:
    assert Platform.__abstractmethods__ == {"serve", "refuse"}
    with pytest.raises(TypeError):
        Platform(WORLD, {})  # type: ignore[abstract]
