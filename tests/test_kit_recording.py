"""connectors.kit.recording: what is recorded replays, and says nothing of anybody, wherever it stood."""

import asyncio
import html
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.base import Subject
from connectors.json_tree import parse_json
from connectors.kit.fixtures import Fixture, cases
from connectors.kit.inventing import Inventor, luhn_check
from connectors.kit.recording import NotProven, Recording, Saved, Taken, Tape, Wanted, record, rehearsed
from connectors.kit.scrubbing import Unreadable, write_json, write_xml
from connectors.kit.searching import leak
from connectors.manifest import Loaded, load
from connectors.registry import BUILT_IN
from connectors.tls import Tls
from connectors.wire import WireReply
from connectors.xml_tree import parse_xml
from schemas.errors import InvalidRequest
from schemas.identifiers import (
    compare_names,
    is_uscc,
    organisation_code_check,
    parse_organisation_code,
    parse_registration_number,
    parse_resident_id,
    registration_check,
    resident_check,
    uscc_check,
)
from tests.engine_world import BASE, bureau

CASES = [
    (folder.name, name)
    for folder in sorted(BUILT_IN.iterdir())
    if (folder / "manifest.toml").is_file() and (folder / "fixtures").is_dir()
    for name in ("found", "failure", "busy")
    if list((folder / "fixtures").glob(f"*-{name}.json"))
]


def month(text: str) -> tuple[int, int]:
    return int(text[:4]), int(text[5:])


def wanted(fixture: Fixture, **more: Any) -> Wanted:
    subject = fixture.subject
    period = month(fixture.period[0]), month(fixture.period[1])
    asked = Subject(subject.uscc, subject.name, subject.registration_number)
    return Wanted(fixture.dataset, asked, period, fixture.now, "recorded", **more)


def replies(loaded: Loaded, fixture: Fixture) -> list[WireReply]:
    return [
        WireReply(
            one.reply.status,
            {"content-type": one.reply.content_type, "set-cookie": "sid=CANARY", **one.reply.headers},
            (loaded.fixtures / one.reply.file).read_bytes(),
        )
        for one in fixture.exchanges
    ]


def recorded(
    loaded: Loaded, asked: Wanted, came: Sequence[WireReply], secrets: dict[str, str] | None = None
) -> Recording:
    async def work() -> Recording:
        return await record(loaded, asked, await rehearsed(loaded, asked, came), secrets or {})

    return asyncio.run(work())


def of(connector: str, case: str) -> tuple[Loaded, Fixture]:
    loaded = load(BUILT_IN / connector)
    found = next(one for name, one in cases(loaded.fixtures) if name.endswith(f"{case}.json"))
    assert isinstance(found, Fixture)
    return loaded, found


def readings(content: bytes) -> Iterator[str]:
    """Written apart from the recorder's own search, so that one mistake cannot blind both."""
    for charset in ("utf-8", "gb18030"):
        text = content.decode(charset, "ignore")
        yield text
        yield text.encode("ascii", "ignore").decode().encode().decode("unicode_escape", "ignore")
        yield html.unescape(text)
        yield unquote_plus(text)


def holds(made: Recording, text: str) -> bool:
    return any(text in one for content in made.files.values() for one in readings(content))


@pytest.mark.parametrize(("connector", "case"), CASES)
def test_every_dialect_is_recorded_with_the_same_outcome_and_without_the_enterprise(connector: str, case: str) -> None:
    loaded, fixture = of(connector, case)
    made = recorded(loaded, wanted(fixture), replies(loaded, fixture), {"app_key": "s3cr3t-CANARY"})
    assert made.outcome == f"{fixture.expect.outcome} {fixture.expect.code or ''}".strip()
    for text in (fixture.subject.uscc, fixture.subject.name, "CANARY"):
        assert not holds(made, text)
    again = Fixture.model_validate_json(made.files["recorded.json"])
    assert len(again.expect.records) == len(fixture.expect.records)
    assert is_uscc(again.subject.uscc)
    assert again.subject.uscc[2:8] == "990000"
    assert "虚构" in again.subject.name
    assert ("header set-cookie", "dropped", "no fixture needs it") in made.done


def code(number: int) -> str:
    first = f"91310115MA1K{number:05d}"
    return first + uscc_check(first)


CANARIES: dict[str, Callable[[int], str]] = {
    "code of an enterprise": code,
    "identity number": lambda n: (first := f"3101151980010{n % 9 + 1:d}{n % 1000:03d}") + resident_check(first),
    "old identity number": lambda n: f"310115{800101}{n % 1000:03d}",
    "mobile": lambda n: f"139{n:08d}",
    "mobile in groups": lambda n: f"+86 139-{n // 10000 % 10000:04d}-{n % 10000:04d}",
    "card": lambda n: (first := f"622202{n:012d}") + luhn_check(first),
    "e-mail": lambda n: f"zhang.{n}@example.com.cn",
    "person": lambda n: "欧阳" + chr(0x4E00 + n % 5000) + chr(0x6E00 + n % 3000),
    "enterprise": lambda n: f"上海真实{chr(0x4E00 + n % 5000)}{chr(0x6E00 + n % 3000)}贸易有限公司",
    "address": lambda n: f"上海市浦东新区真实路{n}弄{chr(0x4E00 + n % 5000)}号301室",
    "sentence": lambda n: f"联系人李{chr(0x4E00 + n % 5000)}，电话139{n:08d}，地址见附件",
    "token": lambda n: f"eyJhbGciOi.{n:08d}.Zm9vYmFy",
    "json in a text": lambda n: json.dumps(
        {"xm": f"李{chr(0x4E00 + n % 5000)}真实", "sj": f"139{n:08d}"}, ensure_ascii=False
    ),
}


def planted(tree: Any, draw: Callable[[Any], Any], text: str) -> Any:
    """``tree`` with ``text`` in one place: in place of a value, beside the others, or as a name."""
    if isinstance(tree, list) and tree:
        at = draw(st.integers(0, len(tree) - 1))
        return [planted(one, draw, text) if n == at else one for n, one in enumerate(tree)]
    if isinstance(tree, dict) and tree:
        where = draw(st.sampled_from(["inside", "inside", "beside", "as a name"]))
        if where != "inside":
            return {**tree, **({"beizhu": text} if where == "beside" else {text: "1"})}
        name = draw(st.sampled_from(sorted(tree)))
        return {**tree, name: planted(tree[name], draw, text)}
    return text


def json_reply(tree: Any, escaped: bool) -> bytes:
    return json.dumps(tree, ensure_ascii=escaped).encode()


@pytest.fixture(scope="module")
def worlds() -> dict[str, tuple[Loaded, Fixture]]:
    return {
        name: of(name, case)
        for name, case in (("sh-tax", "invoices-found"), ("sh-hrss", "stale"), ("sh-registry", "key_persons-found"))
    }


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(sorted(CANARIES)), number=st.integers(0, 99_999), escaped=st.booleans())
def test_whatever_is_planted_wherever_in_whatever_writing_never_reaches_a_file(
    worlds: dict[str, tuple[Loaded, Fixture]], data: st.DataObject, kind: str, number: int, escaped: bool
) -> None:
    loaded, fixture = worlds[data.draw(st.sampled_from(sorted(worlds)))]
    text = CANARIES[kind](number)
    (first, *_) = replies(loaded, fixture)
    if loaded.manifest.id == "sh-hrss":
        before, _, rest = first.body.decode("gb18030").partition("<resp>")
        inner, end, after = rest.partition("</resp>")
        tree = json.loads(html.unescape(inner).removeprefix("<![CDATA[").removesuffix("]]>"))
        made = html.escape(json_reply(planted(tree, data.draw, text), escaped).decode(), quote=False)
        body = (before + "<resp>" + made + end + after).encode("gb18030")
    elif loaded.manifest.id == "sh-tax":
        outer = json.loads(first.body)
        outer["datas"] = json_reply(planted(json.loads(outer["datas"]), data.draw, text), escaped).decode()
        body = json_reply(outer, escaped)
    else:
        body = json_reply(planted(json.loads(first.body), data.draw, text), escaped)
    try:
        recording = recorded(loaded, wanted(fixture), [WireReply(200, first.headers, body)])
    except (NotProven, Unreadable, InvalidRequest):
        return
    for part in [text, *([f"139{number:08d}"] if "139" in text else [])]:
        assert not holds(recording, part)


def test_what_is_the_same_stays_the_same_and_what_differs_stays_apart() -> None:
    loaded, fixture = of("yunlian", "vouchers-found")
    made = recorded(loaded, wanted(fixture), replies(loaded, fixture))
    before = fixture.expect.records
    after = Fixture.model_validate_json(made.files["recorded.json"]).expect.records
    for name in ("number", "parent", "holder"):
        pairs = {(one.get(name), two.get(name)) for one, two in zip(before, after, strict=True)}
        assert len({old for old, _ in pairs}) == len(pairs)


def test_amounts_and_named_paths_stay_where_the_caller_says_so_and_an_identifier_does_not() -> None:
    loaded, fixture = of("sh-hrss", "social_insurance-found")
    amounts = recorded(loaded, wanted(fixture, keep_amounts=True), replies(loaded, fixture))
    assert Fixture.model_validate_json(amounts.files["recorded.json"]).expect.records == fixture.expect.records
    kept = recorded(loaded, wanted(fixture, keep=["head.msg", "body.aab003"]), replies(loaded, fixture))
    assert ("head.msg", "kept", "because you said so") in kept.done
    assert not holds(kept, fixture.subject.uscc)


@pytest.mark.parametrize(
    "secret", ["ab", "银行密钥", "invented-app-key-7", "-----BEGIN KEY-----\nQUJDREVGRw\n-----END KEY-----"]
)
def test_a_secret_in_any_file_ends_the_recording_unless_it_is_too_short_to_be_one(secret: str) -> None:
    loaded, fixture = of("sh-registry", "key_persons-found")
    (reply,) = replies(loaded, fixture)
    tree = json.loads(reply.body)
    planted_ = WireReply(200, reply.headers, json.dumps({**tree, "message": f"x {secret} x"}).encode())
    if len(secret) < 3:
        recorded(loaded, wanted(fixture, keep=["message"]), [planted_], {"app_key": secret})
        return
    with pytest.raises(NotProven) as caught:
        recorded(loaded, wanted(fixture, keep=["message"]), [planted_], {"app_key": secret})
    assert caught.value.where == "secrets.app_key"


def test_a_value_that_is_kept_at_one_path_and_hidden_at_another_cannot_be_proven() -> None:
    loaded, fixture = of("sh-registry", "key_persons-found")
    (reply,) = replies(loaded, fixture)
    tree = {**json.loads(reply.body), "message": "某一说明文字甲", "note": "某一说明文字甲"}
    came = [WireReply(200, reply.headers, json.dumps(tree).encode())]
    with pytest.raises(NotProven) as caught:
        recorded(loaded, wanted(fixture, keep=["message"]), came)
    assert caught.value.where == "note"


def test_a_reply_that_cannot_be_read_is_not_recorded() -> None:
    loaded, fixture = of("sh-registry", "key_persons-found")
    with pytest.raises(Unreadable):
        recorded(loaded, wanted(fixture), [WireReply(200, {"content-type": "text/html"}, b"<html>91310000")])


def test_the_body_of_a_status_that_is_judged_without_it_is_dropped() -> None:
    loaded, fixture = of("sh-registry", "key_persons-found")
    made = recorded(loaded, wanted(fixture), [WireReply(502, {"content-type": "text/html;x=CANARY"}, b"CANARY")])
    assert made.outcome == "failure upstream_server_error"
    assert not holds(made, "CANARY")
    assert next(one for one in made.done if one[0] == "body")[1] == "dropped"


def test_too_few_replies_are_named_and_so_is_none() -> None:
    loaded, fixture = of("sh-hrss", "social_insurance-found")
    for came in (replies(loaded, fixture)[:1], []):
        with pytest.raises(InvalidRequest):
            recorded(loaded, wanted(fixture), came)
    with pytest.raises(InvalidRequest):
        asyncio.run(record(loaded, wanted(fixture), [Taken("/service")], {}))


def test_a_tape_takes_on_a_platforms_terms_and_keeps_the_order_of_asking() -> None:
    class Below(Saved):
        def secured(self, tls: Tls) -> Saved:
            return Saved([])

    tape = Tape(Below([]))
    terms: Any = None
    inner = tape.secured(terms)
    assert isinstance(inner, Tape)
    assert inner.taken is tape.taken
    assert type(inner.below) is Saved
    plain = Tape(Saved([])).secured(terms)
    assert isinstance(plain, Tape)


FIRM = Subject(code(7), "上海真实禾川贸易有限公司", "31011500000001" + registration_check("31011500000001"))


def test_invented_identifiers_hold_their_checks_and_belong_to_nobody() -> None:
    inventor = Inventor(FIRM)
    assert is_uscc(str(inventor.identifier(FIRM.uscc)))
    assert inventor.identifier(FIRM.uscc) == inventor.subject.uscc
    resident = CANARIES["identity number"](7)
    made = str(inventor.identifier(resident))
    assert parse_resident_id(made).value.startswith("990000")
    old = str(inventor.identifier("310115800101001"))
    assert parse_resident_id(old).value.startswith("990000")
    registration = str(inventor.identifier(str(FIRM.registration_number)))
    assert registration == inventor.subject.registration_number
    assert parse_registration_number(registration).value.startswith("990000")
    organisation = str(inventor.identifier("MA1K0000-" + organisation_code_check("MA1K0000")))
    assert parse_organisation_code(organisation).value.startswith("MR")
    card = str(inventor.identifier(CANARIES["card"](5)))
    assert luhn_check(card[:-1]) == card[-1]
    assert str(inventor.identifier("a@b.cn")).endswith(".invalid")
    assert inventor.identifier("13900000001") == inventor.identifier("139 0000 0001".replace(" ", "-"))


def test_what_a_connector_mends_is_still_there_to_mend() -> None:
    inventor = Inventor(FIRM)
    assert inventor.identifier(f" {FIRM.uscc.lower()} ") == f" {inventor.subject.uscc.lower()} "


def test_names_are_marked_as_invented_and_a_mask_fits_what_it_masks() -> None:
    inventor = Inventor(FIRM)
    assert inventor.text(FIRM.name) == inventor.subject.name
    masked = inventor.text("上海真实****有限公司")
    assert compare_names(masked, inventor.subject.name).value == "masked"
    assert inventor.text("张三").startswith("虚")
    assert inventor.text("张三") != inventor.text("李四")
    assert inventor.text("王*") == "虚*"
    assert inventor.text("王某某") == "虚某某"
    assert inventor.text("王*明") == "虚**"
    assert "（沙箱）" in inventor.text("别家机械厂")
    assert inventor.text("一段 mixed 说明 12") == inventor.text("一段 mixed 说明 12")
    assert inventor.text("  ") == "  "


def test_an_amount_keeps_its_shape_and_its_zeros() -> None:
    inventor = Inventor(FIRM)
    made = inventor.number("-1,203.50")
    assert (made[0], made[2], made[4], made[6], made[8]) == ("-", ",", "0", ".", "0")
    assert made != "-1,203.50"
    assert inventor.number("-1,203.50") == made
    assert inventor.number("０") == "０"


def test_the_search_reads_every_writing() -> None:
    name = "欧阳真实"
    for content in (
        name.encode(),
        name.encode("gb18030"),
        name.encode("utf-16"),
        json.dumps(json.dumps(name)).encode(),
        name.encode("ascii", "xmlcharrefreplace"),
        b"%C5%B7%D1%F4%D5%E6%CA%B5",
    ):
        assert leak({"x": b"..." + content + b"..."}, {name: "at"} if content[:2] != b"\xff\xfe" else {}) == (
            "at" if content[:2] != b"\xff\xfe" else None
        )
    assert leak({"x": b"12026"}, {"2026": "at"}) is None
    assert leak({"x": b"[2026]"}, {"2026": "at"}) == "at"
    assert leak({"x": b"abc"}, {"abc": "at"}) is None


def test_a_folder_of_fixtures_that_were_recorded_is_one_that_the_kit_reads(tmp_path: Path) -> None:
    loaded, fixture = of("sh-hrss", "social_insurance-found")
    made = recorded(loaded, wanted(fixture), replies(loaded, fixture))
    for name, content in made.files.items():
        (tmp_path / name).write_bytes(content)
    ((name, one),) = cases(tmp_path)
    assert name == "fixtures/recorded.json"
    assert isinstance(one, Fixture)
    assert [exchange.reply.file for exchange in one.exchanges] == ["recorded-1.xml", "recorded-2.xml"]
    assert "<aab003>" in one.exchanges[0].request.text[0]


TICKETS = """id = "xx-bureau"
version = "1"
names = { zh = "某局（虚构）", en = "Some bureau (invented)" }
owner = "test"
assurance = "assumed"
base_url = "https://bureau.invalid"

[auth]
scheme = "tif"
secrets = ["paasid", "token"]

[outcome]
success = [{ at = "code", equals = "0" }]
retry = [{ at = "code", equals = "busy", after = "wait" }]
no_record = [{ and = [{ at = "code", equals = "none" }], at = "list", is = "missing" }]

[[dataset]]
name = "registration"
strategy = "ticket"
submit = { path = "/apply", encode = "json", body = { dm = "{uscc}" }, ticket = "lsh" }
paging = { size = 9, total_rows = "n", more = { at = "more", equals = true }, last = { at = "more", equals = false } }

[dataset.poll]
path = "/r/{ticket}"
method = "GET"
query = { p = "{page}" }
pending = [{ at = "code", equals = "later" }]
every = "1ms"
give_up = "1h"

[dataset.rows]
at = "list"
echo = { uscc = "dm" }
latest = { key = ["id"], by = "gxsj" }
keep = [{ at = "zt", equals = "1" }]
drop = [{ at = "zt", equals = "0" }]

[dataset.fields]
uscc = { from = "dm", type = "uscc" }
name = { from = "mc", type = "text" }
former_names = { from = "cym", type = "names" }
established = { from = "clrq", type = "day", forms = ["yyyyMMdd"] }
registered_capital = { from = "zczb", type = "money", unit = "万元" }
state = { type = "const", value = "active" }
"""


@pytest.fixture
def tickets(tmp_path: Path) -> Loaded:
    folder = tmp_path / "xx-bureau"
    folder.mkdir()
    (folder / "manifest.toml").write_text(TICKETS, "utf-8")
    return load(folder)


def asked_for(dataset: str, **more: Any) -> Wanted:
    return Wanted(dataset, FIRM, ((2026, 9), (2026, 10)), "2026-11-24T06:00:00.000+00:00", "recorded", **more)


def as_json(tree: Any, charset: str = "utf-8") -> WireReply:
    return WireReply(200, {"content-type": "application/json"}, json.dumps(tree, ensure_ascii=False).encode(charset))


def row(**more: Any) -> dict[str, Any]:
    given = {"dm": FIRM.uscc, "mc": FIRM.name, "id": "REG-77001", "zt": "1", "gxsj": "2026-11-01 10:00:00"}
    return {**given, "clrq": "20010203", "zczb": "500.5", "cym": "旧名贸易公司;更旧贸易公司", **more}


def test_a_ticket_and_the_pages_and_versions_behind_it_are_recorded(tickets: Loaded) -> None:
    came = [
        as_json({"code": "0", "lsh": "LSH-2026-000123"}),
        as_json({"code": "later"}),
        as_json(
            {
                "code": "0",
                "n": 2,
                "more": False,
                "list": [row(), row(gxsj="2026-10-01 10:00:00", zt="0", mc="旧版公司")],
            }
        ),
    ]
    made = recorded(tickets, asked_for("registration"), came)
    assert made.outcome == "found", made
    again = Fixture.model_validate_json(made.files["recorded.json"])
    (record_,) = again.expect.records
    assert (record_["established"], record_["state"]) == ("2001-02-03", "active")
    assert len(record_["former_names"]) == 2
    assert again.exchanges[1].request.path.startswith("/r/")
    for text in (
        "LSH-2026-000123",
        "旧名贸易公司",
        "更旧贸易公司",
        "旧版公司",
        "REG-77001",
        FIRM.uscc,
        FIRM.name,
        "500.5",
    ):
        assert not holds(made, text)


def test_a_reply_in_which_the_inner_part_is_missing_is_scrubbed_all_the_same() -> None:
    loaded, fixture = of("sh-hrss", "social_insurance-found")
    for body in ("<Envelope><x>张三丰收</x></Envelope>", '<Envelope><resp a="张三丰收">x<y>1</y></resp></Envelope>'):
        came = [WireReply(200, {"content-type": "text/xml"}, body.encode("gb18030"))]
        made = recorded(loaded, wanted(fixture), came)
        assert made.outcome == "failure upstream_malformed"
        assert not holds(made, "张三丰收")


def test_xml_is_written_as_it_is_read() -> None:
    text = '<a b="&lt;&quot;"><c>1</c><c><d e="2">x &amp; y</d></c><f></f></a>'
    tree: Any = parse_xml(text)
    assert parse_xml(write_xml(tree)) == tree
    assert write_json(parse_json('{"a":[1.50,true,null,"é",-3]}')) == '{"a":[1.50,true,null,"é",-3]}'


def test_a_signed_reply_is_recorded_as_one_whose_signature_does_not_hold(tmp_path: Path) -> None:
    signed = '[reply]\nscheme = "hmac-template"\ntext = "{ts}|{nonce}|{body_sha256}"\nmac = "hmac-sha256"\n'
    signed += 'encoding = "base64"\nts = "unix-s"\nkey = "token"\n'
    signed += 'headers = { X-Ts = "{ts}", X-Nonce = "{nonce}", X-Sign = "{mac}" }\n'
    loaded = bureau(tmp_path, base=BASE + signed)
    came = [as_json({"code": "0", "data": {"uscc": FIRM.uscc, "list": []}})]
    made = recorded(loaded, asked_for("provident_fund"), came)
    assert made.outcome == "failure upstream_signature"
    assert not holds(made, FIRM.uscc)


def test_a_name_that_the_manifest_does_not_know_is_invented_too(tmp_path: Path) -> None:
    loaded = bureau(tmp_path)
    held = {"code": "none", FIRM.name: [{"x": "某人电话一二三"}, 13900000001, None], "a123456789": "x", "b": 1.5}
    held |= {"Zhangweiguo": {"@MzEwMTE1MTk4MzA3": True}, "remark": "nobody's"}
    made = recorded(loaded, asked_for("provident_fund"), [as_json(held)])
    assert made.outcome == "confirmed_absent"
    assert {path for path, _, why in made.done if why.startswith("its name")} == {
        *("?", "?.x", "b", "Zhangweiguo", "Zhangweiguo.@MzEwMTE1MTk4MzA3", "remark")
    }
    for text in (FIRM.name, "某人电话一二三", "13900000001", "a123456789", "Zhangweiguo", "MzEwMTE1", "remark"):
        assert not holds(made, text)
    assert ("b", "replaced", "not in the manifest") in made.done
    assert holds(recorded(loaded, asked_for("provident_fund", keep=["remark"]), [as_json(held)]), "remark")


def test_what_says_how_a_reply_is_written_stays_only_as_a_word_that_is_known() -> None:
    loaded, fixture = of("sh-hrss", "stale")
    came = replies(loaded, fixture)
    kind = {"content-type": "application/x-13900000001+xml; charset=gb18030"}
    odd = [WireReply(200, kind, one.body.replace(b'encoding="GB18030"', b'encoding="A13900000001"')) for one in came]
    assert odd[0].body != came[0].body
    made = recorded(loaded, wanted(fixture), odd)
    assert not holds(made, "13900000001")
    assert holds(made, "application/xml; charset=gb18030")


def test_of_a_reply_that_gives_a_token_only_its_kind_and_its_end_stay() -> None:
    loaded, fixture = of("sh-ywtb", "registration-found")
    first, *rest = replies(loaded, fixture)
    token = {**json.loads(first.body), "expires_in": 7155, "uid": "1357924680", "tel": 62478359, "dept": "6247835"}
    made = recorded(loaded, wanted(fixture), [first._replace(body=json.dumps(token).encode()), *rest])
    for text in (token["access_token"], "1357924680", "62478359", "6247835"):
        assert not holds(made, text)
    assert holds(made, "7155")


def test_a_byte_order_mark_and_the_charset_of_the_reply_are_those_of_the_original() -> None:
    loaded, fixture = of("credit-sh", "permits-found")
    came = replies(loaded, fixture)
    made = recorded(loaded, wanted(fixture), came)
    bodies = [
        made.files[exchange.reply.file]
        for exchange in Fixture.model_validate_json(made.files["recorded.json"]).exchanges
    ]
    assert [body[:3] == b"\xef\xbb\xbf" for body in bodies] == [one.body[:3] == b"\xef\xbb\xbf" for one in came]
