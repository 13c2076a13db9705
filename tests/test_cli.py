"""The command line: every command does its act, prints JSON where it prints data, and ends with 0, 1 or 2."""

import asyncio
import json
import os
import re
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import jwt as pyjwt
import pytest
import structlog

from connectors.registry import BUILT_IN
from connectors.signing import SCHEMES
from consent.log.verify import main as verify_alone
from gateway.cli.main import _options_first, main
from gateway.cli.operations import SCHEMAS, until_stopped
from gateway.cli.shared import State
from gateway.demo import export_and_verify, sample_grant, subject_of
from gateway.services import open_services
from gateway.settings import Settings
from schemas.base import utc_text
from schemas.errors import ConfigurationError
from tests.gateway_world import OTHER, SMALL

XINQIAO = str(Path(sys.executable).parent / "xinqiao")


@dataclass(frozen=True, slots=True)
class Result:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture
def xinqiao(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    """The command in this process, in an empty working folder."""
    for name in [n for n in os.environ if n.startswith("XINQIAO_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["xinqiao", *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        told = capsys.readouterr()
        return Result(status, told.out, told.err)

    yield run
    State.config = State.data = None
    structlog.reset_defaults()


def started(*arguments: str, cwd: Path) -> tuple["subprocess.Popen[bytes]", str]:
    """A command that runs until it is stopped, and the URL that it says it listens on."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("XINQIAO_")}
    process = subprocess.Popen([XINQIAO, *arguments], stderr=subprocess.PIPE, cwd=cwd, env=environment)
    assert process.stderr is not None
    said = b""
    try:
        # Generous, because a machine may be busy: only a command that never says it is missed.
        while not (match := re.search(rb"http://[0-9.:]+", said)) or not said.endswith(b"\n"):
            assert process.poll() is None, said
            assert select.select([process.stderr], [], [], 120)[0], said
            said += os.read(process.stderr.fileno(), 4096)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return process, match[0].decode()


def stop(process: "subprocess.Popen[bytes]") -> int:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    return process.returncode


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as reply:
        return json.loads(reply.read())


@dataclass(frozen=True, slots=True)
class Place:
    config: Path
    lean: Path
    """Settings without any connector."""
    firm: dict[str, Any]
    folder: Path
    sandbox: str
    offers: dict[str, dict[str, frozenset[str]]]

    def grant(self, name: str = "grant.json", **changes: Any) -> Path:
        made = sample_grant(subject_of(self.firm), self.offers, datetime.now(UTC)) | changes
        path = self.folder / name
        path.write_text(json.dumps(made, ensure_ascii=False), "utf-8")
        return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The sandbox as a process of its own, and settings that know it."""
    folder = tmp_path_factory.mktemp("cli")
    process, url = started("sandbox", "--port", "0", cwd=folder)
    try:
        credentials = get(url + "/_sandbox/credentials")
        # Two connectors are enough for most commands, and open much faster than all.
        lines = ['allow_connectors = ["sh-hrss", "sh-hpf"]', f'allow_private = ["{url.removeprefix("http://")}"]']
        for name, secrets in credentials.items():
            lines += [f"[platforms.{name}]", f'base_url = "{url}/{name}"', f"[platforms.{name}.credentials]"]
            lines += [f"{key} = {json.dumps(value)}" for key, value in secrets.items()]
        config = folder / "xinqiao.toml"
        config.write_text("\n".join(lines), "utf-8")
        firm = next(f for f in get(url + "/_sandbox/scenarios") if f["scenario"] == "clean")
        offers = {
            "sh-hrss": {SMALL: frozenset({"month", "persons"})},
            "sh-hpf": {"provident_fund": frozenset({"month", "persons"})},
        }
        lean = folder / "lean.toml"
        lean.write_text("allow_connectors = []")
        yield Place(config, lean, firm, folder, url, offers)
    finally:
        assert stop(process) == 0


@pytest.fixture
def xq(xinqiao: Run, place: Place) -> Run:
    """The command with settings of ``place`` and one data folder for the whole module."""

    def run(*arguments: object) -> Result:
        config = place.lean if arguments[0] in ("consent", "log") else place.config
        return xinqiao(*arguments, "--config", config, "--data", place.folder / "data")

    return run


@pytest.fixture
def consent_id(xq: Run, place: Place) -> str:
    identity: str = xq("consent", "grant", place.grant(), "--json").json["id"]
    return identity


def profile_of(xq: Run, place: Place, consent_id: str) -> dict[str, Any]:
    result = xq("profile", "request", "--uscc", place.firm["uscc"], "--consent", consent_id, "--json")
    assert result.status == 0, result.err
    made: dict[str, Any] = result.json
    return made


def test_a_consent_is_granted_listed_shown_withdrawn_and_its_history_told(xq: Run, place: Place) -> None:
    granted = xq("consent", "grant", place.grant(), "--json")
    assert granted.status == 0
    identity = granted.json["id"]
    other = xq("consent", "grant", place.grant("other.json", grantee=OTHER), "--json").json["id"]
    everyones = [c["id"] for c in xq("consent", "list", "--json").json]
    assert {identity, other} <= set(everyones)
    assert [c["id"] for c in xq("consent", "list", "--lender", OTHER, "--json").json] == [other]
    assert xq("consent", "show", identity, "--json").json == granted.json
    revoked = xq("consent", "revoke", identity, "--reason", "企业来电", "--json")
    assert (revoked.status, revoked.json["state"]) == (0, "revoked")
    history = xq("consent", "history", identity, "--json").json
    assert [(h["state"], h["reason"]) for h in history] == [("active", None), ("revoked", "企业来电")]


def test_without_json_the_same_is_told_as_tables_in_both_languages(xq: Run, place: Place) -> None:
    granted = xq("consent", "grant", place.grant())
    identity = re.search(r"c[0-9a-f]{30}", granted.out)
    assert identity
    assert place.firm["name"] in granted.out
    for command in (["show", identity[0]], ["history", identity[0]], ["list"]):
        result = xq("consent", *command)
        assert result.status == 0
        assert re.search("[一-龥]", result.out)
        assert "active" in result.out
    revoked = xq("consent", "revoke", identity[0], "--reason", "x")
    assert (revoked.status, revoked.out) == (0, "")
    assert identity[0] in revoked.err


def test_a_text_is_registered_named_by_a_consent_and_the_consent_amended(xq: Run, place: Place, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("（示例）授权书 invented\n", "utf-8")
    add = ("consent", "text", "add", text, "--id", "loan", "--version", "1")
    made = xq(*add, "--json")
    assert (made.status, made.json["name"]) == (0, "loan-1-zh")
    assert xq(*add).out == f"loan-1-zh {made.json['sha256']}\n"
    assert made.json in xq("consent", "text", "list", "--json").json
    assert made.json["sha256"][:20] in re.sub(r"\s", "", xq("consent", "text", "list").out)
    assert xq("consent", "text", "show", "loan-1-zh").out == text.read_text("utf-8")
    assert xq("consent", "text", "show", "loan-2-zh").status == 2
    assert xq(*add[:4], "--id", "page", "--version", "1").status == 2
    named = {"text_version": "loan-1-zh", "text_sha256": made.json["sha256"]}
    old = xq("consent", "grant", place.grant("texts.json", **named), "--json").json
    assert old["text_registered"] is True
    later = {"given_at": utc_text(datetime.now(UTC)), "evidence": {"sha256": "a" * 64, "media_type": "a/b"}}
    amended = xq("consent", "amend", old["id"], place.grant("amended.json", **named, **later), "--json")
    assert (amended.status, amended.json["amends"]) == (0, [old["id"]])
    assert xq("consent", "receipt", old["id"], "--json").json["status"]["state"] == "superseded"
    assert xq("consent", "receipt", old["id"]).out.count(".") == 2
    assert "superseded" in xq("consent", "show", old["id"]).out
    assert old["id"] in re.sub(r"\s", "", xq("consent", "show", amended.json["id"]).out)


@pytest.mark.parametrize("command", [["show"], ["history"], ["revoke", "--reason", "x"]])
def test_a_consent_that_is_not_there_is_said_in_both_languages(xq: Run, command: list[str]) -> None:
    result = xq("consent", command[0], "c" + "0" * 30, *command[1:])
    assert (result.status, result.out) == (1, "")
    assert "consent_missing" in result.err
    assert "不存在该授权" in result.err
    assert "There is no such consent" in result.err


@pytest.mark.parametrize(
    ("content", "at"),
    [
        ("{}", "subject"),
        ('{"张三": 1}', "subject"),
        ("nonsense", "body"),
        ('{"subject": {"uscc": "CANARY"}}', "subject.uscc"),
    ],
)
def test_a_grant_that_is_none_is_wrong_use_and_named_by_its_place(
    xq: Run, tmp_path: Path, content: str, at: str
) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(content, "utf-8")
    result = xq("consent", "grant", file)
    assert result.status == 2
    assert f"at={at}" in result.err
    assert "CANARY" not in result.err


def test_a_file_that_cannot_be_read_is_wrong_use(xq: Run, tmp_path: Path) -> None:
    result = xq("consent", "grant", tmp_path / "nothing.json")
    assert result.status == 2
    assert "nothing.json" in result.err
    assert str(tmp_path) not in result.err


def test_a_profile_is_requested_shown_and_verified_with_keys_from_elsewhere(
    xq: Run, place: Place, consent_id: str, tmp_path: Path
) -> None:
    profile = profile_of(xq, place, consent_id)
    assert profile["sections"][SMALL]["state"] == "present"
    again = xq("profile", "show", profile["id"], "--json").json
    steps = xq("profile", "show", profile["id"], "--timeline", "--json").json
    assert {step["outcome"] for step in steps} <= {"answered", "no_record"}
    assert "answered" in xq("profile", "show", profile["id"], "--timeline").out
    assert {**again, "log": None} == {**profile, "log": None}
    token = tmp_path / "profile.jws"
    token.write_text(xq("profile", "show", profile["id"], "--jws").out.strip())
    header = pyjwt.get_unverified_header(token.read_text())
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [jwk_of(place, header["kid"])]}))
    verified = xq("profile", "verify", token, "--jwks", jwks, "--json")
    assert verified.status == 0
    assert verified.json == {k: v for k, v in profile.items() if k != "log"}
    plain = xq("profile", "verify", token, "--jwks", jwks)
    assert plain.status == 0
    assert "签名有效" in plain.err
    assert place.firm["name"] in plain.out
    head, body, signature = token.read_text().split(".")
    token.write_text(f"{head}.{body[:-4]}AAAA.{signature}")
    broken = xq("profile", "verify", token, "--jwks", jwks, "--json")
    assert (broken.status, broken.out) == (1, "")
    assert "签名无效" in broken.err
    jwks.write_text("nonsense")
    assert xq("profile", "verify", token, "--jwks", jwks).status == 2


def jwk_of(place: Place, kid: str) -> dict[str, Any]:
    """The gateway's public key, as `/.well-known/jwks.json` of the real server gives it."""
    process, url = started(
        "--config", str(place.config), "--data", str(place.folder / "data"), "serve", "--port", "0", cwd=place.folder
    )
    try:
        (jwk,) = get(url + "/.well-known/jwks.json")["keys"]
        assert get(url + "/readyz") == {"status": "ready"}
        assert jwk["kid"] == kid
        return dict(jwk)
    finally:
        assert stop(process) == 0


def test_a_profile_for_people_is_tables(xq: Run, place: Place, consent_id: str) -> None:
    asked = ["--uscc", place.firm["uscc"], "--consent", consent_id, "--dataset", SMALL]
    result = xq("profile", "request", *asked)
    assert result.status == 0
    for text in (place.firm["name"], SMALL, "present", "核验结果 findings", "指标 indicators", "证据日志 log entry"):
        assert text in result.out
    identity = re.search(r"p[0-9a-f]{30}", result.out)
    assert identity
    assert xq("profile", "show", identity[0]).status == 0


@pytest.mark.parametrize(
    ("options", "code", "status"),
    [
        (["--consent", "c" + "0" * 30], "consent_missing", 1),
        (["--uscc", "91990000XQ0000005A"], "invalid_identifier", 2),
        (["--dataset", "tax_returns"], "consent_out_of_scope", 1),
        (["--dataset", "no_such"], "invalid_request", 2),
        (["--dataset", "张三"], "invalid_request", 2),
    ],
)
def test_a_profile_that_cannot_be_had_is_refused_with_its_code(
    xq: Run, place: Place, consent_id: str, options: list[str], code: str, status: int
) -> None:
    result = xq("profile", "request", "--uscc", place.firm["uscc"], "--consent", consent_id, *options)
    assert (result.status, result.out) == (status, "")
    assert result.err.startswith(code)


def test_a_profile_that_is_not_there_is_not_found(xq: Run) -> None:
    result = xq("profile", "show", "p" + "0" * 30)
    assert (result.status, result.err.split(":")[0]) == (2, "not_found")


def test_the_evidence_of_a_profile_is_written_to_one_file_that_the_verifier_proves(
    xq: Run, place: Place, consent_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = profile_of(xq, place, consent_id)
    file = tmp_path / "evidence.zip"
    written = xq("profile", "evidence", profile["id"], "-o", file)
    assert (written.status, written.out) == (0, "")
    assert str(file) in written.err
    xq("log", "export", tmp_path / "export")
    assert verify_alone(["--bundle", str(file), "--vkey", str(tmp_path / "export" / "vkey")]) == 0
    assert "profile.exported" in capsys.readouterr().out
    (told,) = xq("log", "show", "--event", "profile.exported", "--last", "1", "--json").json
    assert (told["entry"]["actor"], told["entry"]["profile"]) == ("operator", profile["id"])
    refused = xq("profile", "evidence", profile["id"], "--output", tmp_path)
    assert (refused.status, refused.err.split(":")[0]) == (2, "invalid_request")
    nothing = xq("profile", "evidence", "p" + "0" * 30, "-o", tmp_path / "nothing.zip")
    assert (nothing.status, nothing.err.split(":")[0]) == (2, "not_found")
    assert not (tmp_path / "nothing.zip").exists()


def test_the_log_is_exported_verified_and_a_flipped_bit_is_found(xq: Run, consent_id: str, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    assert xq("log", "export", folder).status == 0
    vkey = folder / "vkey"
    trusted = xq("log", "verify", folder, "--vkey", vkey, "--json")
    assert trusted.status == 0
    assert "signer not trusted" in xq("log", "verify", folder).out
    assert verify_alone([str(folder), "--vkey", str(vkey)]) == 0
    assert "intact up to entry" in xq("log", "verify").out
    tile = next(p for p in (folder / "tile" / "entries").rglob("*") if p.is_file())
    data = bytearray(tile.read_bytes())
    data[40] ^= 1
    tile.write_bytes(data)
    broken = xq("log", "verify", folder, "--vkey", vkey)
    assert broken.status == 1
    assert "broken" in broken.out


def test_an_export_goes_into_an_empty_folder_only(xq: Run, consent_id: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("keep")
    result = xq("log", "export", tmp_path / "full")
    assert result.status == 2
    assert "the folder is not empty" in result.err
    assert (tmp_path / "full" / "mine").read_text() == "keep"
    assert xq("log", "export", tmp_path / "full" / "mine").status == 2


def test_a_log_with_a_hole_is_broken_and_not_exported(xinqiao: Run, place: Place, tmp_path: Path) -> None:
    for _ in range(2):
        xinqiao("consent", "grant", place.grant(), "--config", place.lean)
    with sqlite3.connect(tmp_path / ".xinqiao" / "xinqiao.sqlite") as database:
        database.execute("DELETE FROM log_entries WHERE position = 0")
    database.close()
    result = xinqiao("log", "export", tmp_path / "export", "--config", place.lean)
    assert result.status == 2
    assert result.err.startswith("log_broken: at=hashes")


def test_an_entry_is_proven_and_growth_too(xq: Run, place: Place, consent_id: str, tmp_path: Path) -> None:
    older = tmp_path / "older"
    older.write_text(xq("log", "checkpoint").out)
    xq("consent", "grant", place.grant())
    proof = xq("log", "prove", "0", "--json").json
    assert proof["index"] == 0
    assert proof["proof"]
    grown = xq("log", "consistency", "--from", older, "--json")
    assert grown.status == 0
    assert grown.json["from"] == int(older.read_text().splitlines()[1])
    assert grown.json["checkpoint"] == xq("log", "checkpoint").out
    for command in (["prove", "0"], ["consistency", "--from", older]):
        assert xq("log", *command).out.startswith("xinqiao.invalid/evidence\n")
    assert xq("log", "verify", "--checkpoint", older).status == 0


def test_a_proof_that_cannot_be_is_wrong_use_and_a_foreign_checkpoint_too(
    xq: Run, xinqiao: Run, place: Place, tmp_path: Path
) -> None:
    assert xq("log", "prove", "999999").status == 2
    foreign = tmp_path / "foreign"
    foreign.write_text(xinqiao("log", "checkpoint", "--config", place.lean, "--data", tmp_path / "x").out)
    assert xq("log", "consistency", "--from", foreign).status == 2
    (tmp_path / "nonsense").write_bytes(b"\xff")
    assert xq("log", "consistency", "--from", tmp_path / "nonsense").status == 2


def test_a_log_that_is_shorter_than_a_remembered_head_or_another_is_broken(
    xinqiao: Run, place: Place, tmp_path: Path
) -> None:
    """The same keys, two histories: what an operator does who restores an old backup and goes on, the memory of what
    was signed lost with the newest database."""
    first, second = tmp_path / "first", tmp_path / "second"

    def on(data: Path, *arguments: object) -> Result:
        settings = data.with_suffix(".toml")
        settings.write_text(f'keys = "{data}-keys"\nallow_connectors = []\n')
        return xinqiao(*arguments, "--config", settings, "--data", data)

    for _ in range(2):
        on(first, "consent", "grant", place.grant())
    shutil.copytree(f"{first}-keys", f"{second}-keys", ignore=shutil.ignore_patterns("anchor"))
    remembered = tmp_path / "remembered"
    remembered.write_text(on(first, "log", "checkpoint").out)
    on(second, "consent", "grant", place.grant())
    shorter = on(second, "log", "consistency", "--from", remembered)
    assert shorter.status == 2
    assert "log_broken: at=size" in shorter.err
    on(second, "consent", "grant", place.grant())
    rewritten = on(second, "log", "consistency", "--from", remembered)
    assert rewritten.status == 2
    assert "log_broken: at=root" in rewritten.err


def test_entries_are_shown_newest_last_and_filtered(xq: Run, consent_id: str) -> None:
    xq("consent", "revoke", consent_id, "--reason", "x")
    entry = xq("log", "show", "--json").json[-1]["entry"]
    assert (entry["event"], xq("log", "show", "--last", "1", "--json").json[0]["entry"]["event"]) == (
        "consent.revoked",
        "log.searched",
    )
    everything = [e for e in xq("log", "show", "--json").json if e["entry"]["event"] != "log.searched"]
    assert [e["index"] for e in everything] == sorted(e["index"] for e in everything)
    assert everything[-1]["entry"]["event"] == "consent.revoked"
    about = xq("log", "show", "--consent", consent_id, "--json").json
    assert [e["entry"]["event"] for e in about] == ["consent.granted", "consent.revoked"]
    assert {e["entry"]["event"] for e in xq("log", "show", "--event", "consent.granted", "--json").json} == {
        "consent.granted"
    }
    assert len(xq("log", "show", "--last", "1", "--json").json) == 1
    assert "consent.revoked" in xq("log", "show").out


def test_the_connectors_are_listed_and_shown(xq: Run) -> None:
    listed = xq("connectors", "list", "--json").json
    assert {c["id"] for c in listed} == {"sh-hrss", "sh-hpf"}
    assert "sh-hrss" in xq("connectors", "list").out
    health = xq("connectors", "list", "--health", "--json").json
    assert {one["id"]: one["breaker"] for one in health} == {"sh-hrss": "closed", "sh-hpf": "closed"}
    assert "closed" in xq("connectors", "list", "--health").out
    shown = xq("connectors", "show", "sh-hrss", "--json").json
    assert shown["id"] == "sh-hrss"
    assert "persons" in shown["datasets"][SMALL]
    assert "persons" in xq("connectors", "show", "sh-hrss").out
    unknown = xq("connectors", "show", "no-such")
    assert (unknown.status, "sh-hrss" in unknown.err) == (2, True)


def test_without_settings_no_connector_is_loaded_and_the_list_says_so(xinqiao: Run, tmp_path: Path) -> None:
    listed = xinqiao("connectors", "list", "--data", tmp_path / "data")
    assert (listed.status, "docs/settings.md" in listed.err) == (0, True)


def test_a_connectors_fixtures_are_run(xq: Run, tmp_path: Path) -> None:
    results = xq("connectors", "test", "sh-hrss", "--json")
    assert results.status == 0
    assert results.json
    assert all(r["ok"] for r in results.json)
    assert "通过 ok" in xq("connectors", "test", BUILT_IN / "sh-hrss").out
    folder = tmp_path / "sh-hrss"
    folder.mkdir()
    (folder / "manifest.toml").write_bytes((BUILT_IN / "sh-hrss" / "manifest.toml").read_bytes())
    failed = xq("connectors", "test", folder, "--json")
    assert failed.status == 1
    assert not all(r["ok"] for r in failed.json)
    (folder / "fixtures").mkdir()
    for fixture in (BUILT_IN / "sh-hrss" / "fixtures").glob("*.json"):
        (folder / "fixtures" / fixture.name).write_bytes(fixture.read_bytes())
    assert "there is no file" in xq("connectors", "test", folder, "--json").out
    unknown = xq("connectors", "test", "no-such")
    assert (unknown.status, "sh-hrss" in unknown.err) == (2, True)


def test_a_developer_fetches_from_the_real_wire_and_production_refuses(
    xq: Run, place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = ["connectors", "fetch", "sh-hrss", "--uscc", place.firm["uscc"], "--dataset", SMALL]
    fetched = xq(*asked, "--months", "3", "--json")
    assert fetched.status == 0
    (one,) = fetched.json
    assert (one["dataset"], one["outcome"], one["attempts"]) == (SMALL, "found", 1)
    assert {r["month"] for r in one["records"]}
    assert [event["what"] for event in one["timeline"]] == ["sent", "answered", "found"]
    plain = xq(*asked)
    assert (plain.status, SMALL in plain.err, "persons" in plain.out) == (0, True, True)
    assert re.search(r"\d+ ms  answered", plain.err)
    by_folder = xq("connectors", "fetch", BUILT_IN / "sh-hrss", *asked[3:], "--json")
    assert (by_folder.status, by_folder.json[0]["outcome"]) == (0, "found")
    assert xq("connectors", "fetch", "no-such", "--uscc", place.firm["uscc"]).status == 2
    assert xq(*asked[:5], "--dataset", "tax_returns").status == 2
    bare = [word for word in asked if word not in ("--dataset", SMALL)]
    assert [one["dataset"] for one in xq(*bare, "--json").json] == [SMALL]
    monkeypatch.setenv("XINQIAO_LIMITS__DEADLINE_SECONDS", "0.0001")
    late = xq(*asked, "--json")
    assert (late.status, late.json[0]["records"]) == (1, [])
    assert late.json[0]["outcome"] in {"deadline_exceeded", "upstream_timeout", "upstream_connect"}
    shutil.copytree(place.folder / "data" / "keys", tmp_path / "keys")
    monkeypatch.setenv("XINQIAO_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("XINQIAO_PRODUCTION", "true")
    refused = xq(*asked)
    assert refused.status == 2
    assert "at=production" in refused.err


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    path = tmp_path / "request.json"
    path.write_text(json.dumps({"method": "GET", "base_url": "https://a.invalid", "path": "/x", "query": {"b": "1"}}))
    return path


@pytest.fixture
def credentials_file(tmp_path: Path) -> Path:
    path = tmp_path / "credentials.json"
    path.write_text(json.dumps({"paasid": "p", "token": "test-token", "client_id": "i", "client_secret": "CANARY"}))
    return path


def test_a_signature_is_shown_with_its_secrets_masked(xq: Run, request_file: Path, credentials_file: Path) -> None:
    at = datetime.fromtimestamp(1_700_000_000, UTC).isoformat()
    files = ["--request", request_file, "--credentials", credentials_file]
    signed = xq("connectors", "sign", "tif", *files, "--at", at, "--nonce", "abc123nonce", "--json")
    assert signed.status == 0
    # The known answer of the published rule: time, token, nonce, time.
    answer = "b3a106ee8c31daebea0e6f9180ea48eae2461e299b64a0c26316b3da38daa65f"
    assert signed.json["headers"]["x-tif-signature"] == answer
    assert "test-token" not in signed.out
    plain = xq("connectors", "sign", "tif", *files, "--at", at, "--nonce", "abc123nonce")
    assert answer in plain.out
    assert xq("connectors", "sign", "tif", *files).status == 0
    request_file.write_text(
        json.dumps(
            {"method": "GET", "base_url": "https://a.invalid", "path": "/x", "options": {"token_path": "/token"}}
        )
    )
    token = xq("connectors", "sign", "oauth2-client", *files, "--json")
    assert token.status == 0
    assert "CANARY" not in token.out


@pytest.mark.parametrize(
    ("scheme", "request_text", "options"),
    [
        ("no-such", "{}", []),
        ("tif", "nonsense", []),
        ("tif", "[]", []),
        ("tif", '{"method": "GET"}', []),
        ("tif", None, ["--at", "yesterday"]),
        ("tif", None, ["--at", "2026-11-24T00:00:00"]),
    ],
)
def test_a_request_that_cannot_be_signed_is_wrong_use(
    xq: Run, request_file: Path, credentials_file: Path, scheme: str, request_text: str | None, options: list[str]
) -> None:
    if request_text is not None:
        request_file.write_text(request_text)
    files = ["--request", request_file, "--credentials", credentials_file]
    result = xq("connectors", "sign", scheme, *files, *options)
    assert (result.status, result.out) == (2, "")
    assert "invalid_request" in result.err


def test_every_scheme_is_offered(xq: Run) -> None:
    told = xq("connectors", "sign", "--help").out
    assert all(scheme in told for scheme in SCHEMES)


def test_keys_are_made_once(xinqiao: Run, tmp_path: Path) -> None:
    made = xinqiao("keys", "new", "--json").json
    assert made["folder"] == ".xinqiao/keys"
    assert len(made["made"]) == 5
    assert xinqiao("keys", "new", "--json").json["made"] == []
    assert "nothing was missing" in xinqiao("keys", "new").err


def test_settings_are_checked_and_shown_without_secrets(xq: Run, place: Place) -> None:
    shown = xq("config", "check", "--json")
    assert shown.status == 0
    assert shown.json["data"] == str(place.folder / "data")
    secrets = {v for values in get(place.sandbox + "/_sandbox/credentials").values() for v in values.values()}
    assert secrets
    assert not [s for s in secrets if s in shown.out]
    table = xq("config", "check").out
    assert "allow_private" in table
    assert "limits.body_bytes" in table


def test_a_lenders_private_key_is_refused_before_the_settings_are_shown(xinqiao: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    key = '{ kty = "oct", k = "aW52ZW50ZWQtc2VjcmV0" }'
    wrong.write_text(f'[lenders.some-bank]\nname = "Some bank (invented)"\njwks.keys = [{key}]\n')
    result = xinqiao("config", "check", "--config", wrong)
    assert (result.status, "at=lenders.some-bank.jwks" in result.err) == (2, True)
    assert "aW52ZW50ZWQtc2VjcmV0" not in result.out + result.err


def test_a_platform_nobody_knows_is_named_with_the_file_before_anything_starts(xinqiao: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[platforms.sh-taxx]\nweight = 2\n")
    result = xinqiao("config", "check", "--config", wrong)
    assert result.status == 2
    assert f"at=platforms.sh-taxx connector=sh-taxx file={wrong}" in result.err
    assert "did you mean `sh-tax`?" in result.err


@pytest.mark.parametrize(
    ("key", "mend"),
    [("", "give it a value"), ('private_key = "invented"', "an unencrypted RSA key of at least 2048 bits")],
)
def test_a_secret_that_is_missing_or_no_key_is_named_by_its_place(
    xinqiao: Run, tmp_path: Path, key: str, mend: str
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(f'[platforms.sh-tax.credentials]\napp_id = "invented"\napp_key = "invented"\n{key}\n')
    result = xinqiao("config", "check", "--config", wrong)
    assert result.status == 2
    assert f"at=platforms.sh-tax.credentials.private_key connector=sh-tax file={wrong} mend={mend}" in result.err


def test_a_connector_is_shown_with_the_rules_it_is_asked_by(xq: Run) -> None:
    shown = xq("connectors", "show", "sh-hrss", "--json").json
    assert shown["limits"]["manifest"] == shown["limits"]["in_force"]
    assert shown["freshness"]["manifest"].keys() == shown["datasets"].keys()
    assert (shown["required"], shown["weight"]) == (True, 1)
    told = xq("connectors", "show", "sh-hrss").out
    assert "limits.rate" in told
    assert "freshness.social_insurance" in told


def test_a_setting_nobody_knows_is_named(xinqiao: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    for text, told in (
        ("colour = 1", "at=colour file={} mend=no such setting\n"),
        (
            "[platforms.sh-tax]\nweihgt = 3",
            "at=platforms.sh-tax.weihgt file={} mend=no such setting: did you mean `weight`?",
        ),
    ):
        wrong.write_text(text)
        result = xinqiao("config", "check", "--config", wrong)
        assert result.status == 2
        assert told.format(wrong) in result.err


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_a_valid_json_schema(xinqiao: Run, name: str) -> None:
    result = xinqiao("schema", name)
    assert result.status == 0
    jsonschema.Draft202012Validator.check_schema(result.json)
    assert result.json["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_a_schema_nobody_knows_is_wrong_use(xinqiao: Run) -> None:
    result = xinqiao("schema", "no-such")
    assert result.status == 2
    assert "consent-grant" in result.err


def test_the_data_folder_may_be_named_before_or_behind_the_command_or_by_the_environment(
    xinqiao: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    for arguments in (["--data", a, "keys", "new"], ["keys", "new", "--data", b], ["keys", f"--data={c}", "new"]):
        assert xinqiao(*arguments).status == 0
    assert all((folder / "keys" / "kek.1").is_file() for folder in (a, b, c))
    monkeypatch.setenv("XINQIAO_DATA", str(tmp_path / "d"))
    assert xinqiao("keys", "new", "--json").json["folder"] == str(tmp_path / "d" / "keys")
    assert xinqiao("keys", "new", "--data").status == 2


def test_behind_two_dashes_words_stay_where_they_are() -> None:
    assert _options_first(["a", "--", "--data", "b"]) == ["a", "--", "--data", "b"]
    assert _options_first(["a", "--config", "c", "b"]) == ["--config", "c", "a", "b"]


@pytest.mark.parametrize("arguments", [["no-such"], ["consent", "no-such"], ["consent", "show"], ["schema", "a", "b"]])
def test_words_that_are_no_command_are_wrong_use(xinqiao: Run, arguments: list[str]) -> None:
    assert xinqiao(*arguments).status == 2


def test_the_demonstration_prints_what_it_did_as_json_or_tables(xinqiao: Run, tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    result = xinqiao("demo", "--json", "--keep", keep)
    assert result.status == 0
    told = result.json
    assert told.keys() == {"consent", "profile", "jws", "jwks", "log"}
    assert told["log"]["verified"] is True
    assert sum(s["state"] == "present" for s in told["profile"]["sections"].values()) >= 9
    assert pyjwt.api_jws.decode(told["jws"], pyjwt.PyJWKSet.from_dict(told["jwks"]).keys[0], algorithms=["EdDSA"])
    assert verify_alone([str(keep / "log"), "--vkey", str(keep / "log" / "vkey")]) == 0
    again = xinqiao("demo", "--keep", keep, "--scenario", "headcount-conflict")
    assert again.status == 0
    assert "conflict" in again.out
    assert "日志 log verified" in again.err


async def test_the_demonstration_never_deletes_a_folder_of_somebody_else(tmp_path: Path) -> None:
    mine = tmp_path / "log" / "mine"
    mine.parent.mkdir()
    mine.write_text("keep")
    async with open_services(Settings(data=tmp_path / "data", allow_connectors=[])) as services:
        with pytest.raises(ConfigurationError):
            await export_and_verify(services, mine.parent)
        assert mine.read_text() == "keep"
        for _ in range(2):
            assert (await export_and_verify(services, tmp_path / "export")).ok


def test_a_demonstration_whose_log_does_not_verify_ends_with_1(xinqiao: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def told(*_: object) -> dict[str, Any]:
        return {"log": {"verified": False}}

    monkeypatch.setattr("gateway.cli.demo.run_demo", told)
    assert xinqiao("demo", "--json").status == 1


def test_a_scenario_nobody_knows_is_wrong_use(xinqiao: Run) -> None:
    result = xinqiao("demo", "--scenario", "no-such")
    assert result.status == 2
    assert "headcount-conflict" in result.err


def test_faults_that_are_none_are_wrong_use(xinqiao: Run, tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text("[no-such-platform]\ndown = true\n")
    for path in (file, tmp_path / "nothing.toml"):
        result = xinqiao("sandbox", "--faults", path)
        assert result.status == 2
        assert "at=faults" in result.err


def test_an_address_that_cannot_be_listened_on_is_a_setting_to_mend(xinqiao: Run, place: Place) -> None:
    port = place.sandbox.rsplit(":", 1)[1]
    result = xinqiao("serve", "--port", port)
    assert result.status == 2
    assert "configuration_invalid: at=host, port" in result.err
    simulated = xinqiao("sandbox", "--port", port)
    assert simulated.status == 2
    assert "configuration_invalid: at=port" in simulated.err


def test_serve_and_sandbox_run_until_they_are_told_to_stop(
    xinqiao: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def at_once() -> None:
        return None

    monkeypatch.setattr("gateway.cli.operations.until_stopped", at_once)
    monkeypatch.setattr("gateway.memory.settle", lambda: None)  # a setting of the whole process
    faults = tmp_path / "faults.toml"
    faults.write_text("[sh-tax]\ndown = true\n")
    for command in (["serve", "--port", "0"], ["sandbox", "--port", "0", "--faults", str(faults)]):
        result = xinqiao(*command)
        assert result.status == 0
        assert "http://127.0.0.1:" in result.err


async def test_a_signal_ends_the_waiting() -> None:
    waiting = asyncio.create_task(until_stopped())
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
    await waiting
    assert waiting.done()


def test_the_command_itself_ends_with_the_right_status(tmp_path: Path) -> None:
    done = subprocess.run([XINQIAO, "schema", "no-such"], cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Traceback" not in done.stderr
