"""The main job over real sockets: sandbox, gateway, lender, and the proof of it afterwards, offline."""

import base64
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import orjson
import pytest
import pytest_asyncio

from benchmarks.detection import detect
from consent.log.merkle import leaf_hash, verify_inclusion
from consent.log.note import Vkey, open_checkpoint
from consent.log.verify import verify_export
from gateway.demo import Demo, export_and_verify, profile_ask, running_demo, sample_grant, subject_of
from gateway.services import utc_now
from schemas.profile import Profile
from schemas.records import CATALOGUE

SCENARIOS = (
    "clean",
    "headcount-conflict",
    "revenue-conflict",
    "unit-error",
    "hidden-mortgage",
    "dishonest-debtor",
    "wrong-enterprise",
    "no-record",
)
TROUBLES = {"platform-down": "upstream_busy", "platform-slow": "deadline_exceeded"}
DEADLINE = 3.0

shared_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    async with running_demo(tmp_path_factory.mktemp("demo")) as running:
        yield running


async def ask(demo: Demo, firm: dict[str, Any], **changes: Any) -> dict[str, Any]:
    offers = {c.id: c.datasets for c in demo.services.connectors.values()}
    consent = await demo.lender.register(sample_grant(subject_of(firm), offers, utc_now()))
    return await demo.lender.profile(profile_ask(firm, consent["id"]) | changes)


def outcomes(profile: dict[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for finding in profile["findings"]:
        found.setdefault(finding["rule"], set()).add(finding["outcome"])
    return found


def as_its_truth_says(profile: dict[str, Any], firm: dict[str, Any]) -> None:
    assert {d: s["state"] for d, s in profile["sections"].items()} == firm["states"]
    assert set(profile["sections"]) == set(CATALOGUE)
    found = outcomes(profile)
    for rule, outcome in firm["findings"].items():
        if outcome == "conflict":
            assert "conflict" in found[rule], rule
        else:
            assert "conflict" not in found[rule], rule
    Profile.model_validate_json(orjson.dumps({k: v for k, v in profile.items() if k != "log"}))


@shared_loop
@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_named_scenario_gives_the_states_and_findings_that_its_truth_says(demo: Demo, name: str) -> None:
    firm = (await demo.scenarios())[name]
    profile = await ask(demo, firm)
    as_its_truth_says(profile, firm)


@shared_loop
async def test_every_scenario_of_the_sandbox_is_tested_here(demo: Demo) -> None:
    assert set(await demo.scenarios()) == {*SCENARIOS, *TROUBLES}


@pytest.mark.parametrize("name", TROUBLES)
async def test_a_platform_in_trouble_is_unavailable_with_its_reason_and_completeness_says_so(
    tmp_path: Path, name: str
) -> None:
    """In a gateway of its own: the deadline is short, and what trouble does to a circuit is nobody else's."""
    async with running_demo(tmp_path, limits={"deadline_seconds": DEADLINE}) as demo:
        firm = (await demo.scenarios())[name]
        profile = await ask(demo, firm)
    as_its_truth_says(profile, firm)
    lost = {d for d, state in firm["states"].items() if state == "unavailable"}
    assert lost
    reasons = {d: profile["sections"][d]["reason"] for d in lost}
    # A platform that is down is spared its last calls once its circuit is open.
    assert TROUBLES[name] in reasons.values()
    assert set(reasons.values()) <= {TROUBLES[name], "circuit_open"}
    assert profile["completeness"]["missing"] == reasons
    assert not profile["completeness"]["complete"]
    assert profile["completeness"]["answered"] == profile["completeness"]["asked"] - len(lost)
    taken = max(source["latency_ms"] for source in profile["sources"])
    assert taken < DEADLINE * 1000 + 1000


@pytest.mark.parametrize(
    ("order", "vias"),
    [
        (["sh-tax via sh-ywtb"], {"sh-ywtb": "present"}),
        (["sh-tax", "sh-tax via sh-ywtb"], {None: "unavailable", "sh-ywtb": "present"}),
    ],
)
async def test_a_data_set_goes_through_the_outlet_where_settings_say_so_or_the_bureau_is_down(
    tmp_path: Path, order: list[str], vias: dict[str | None, str]
) -> None:
    sources = dict.fromkeys(("tax_returns", "tax_credit", "tax_arrears", "invoices"), order)
    async with running_demo(tmp_path, sources=sources) as demo:
        firm = (await demo.scenarios())["platform-down"]
        profile = await ask(demo, firm)
        (use,) = await demo.services.evidence.uses_of(profile["consent_id"])
    assert {dataset for dataset, state in firm["states"].items() if state == "unavailable"} == set(sources)
    assert profile["completeness"]["complete"]
    assert profile["sections"]["tax_returns"]["state"] == "present"
    assert {s["via"]: s["state"] for s in profile["sources"] if s["dataset"] == "tax_returns"} == vias
    assert {s["platform"] for s in profile["sources"] if s["dataset"] == "tax_returns"} == {"sh-tax"}
    assert use.items is not None
    assert {outlet for _, dataset, outlet in use.items if dataset == "tax_returns"} == vias.keys()


@shared_loop
async def test_another_firms_reply_is_refused_and_nothing_of_it_is_in_the_profile(demo: Demo) -> None:
    firm = (await demo.scenarios())["wrong-enterprise"]
    profile = await ask(demo, firm)
    wrong = [s for s in profile["sources"] if s["reason"] == "subject_mismatch"]
    assert wrong
    for source in wrong:
        assert source["commitment"] is None
        assert profile["sections"][source["dataset"]]["records"] == []
        assert profile["sections"][source["dataset"]]["state"] == "unavailable"


@shared_loop
async def test_planted_conflicts_are_found_and_lawful_oddities_are_not_flagged(demo: Demo) -> None:
    table = (await detect(demo, 20, 4, lambda _: None)).table()["all"]
    assert table["planted"] > 0
    assert table["precision"] == 1
    assert table["recall"] >= 0.7
    assert table["silent"] > 100


@shared_loop
async def test_the_profile_is_in_the_log_and_the_log_verifies_offline(demo: Demo, tmp_path: Path) -> None:
    profile = await ask(demo, (await demo.scenarios())["clean"])
    place = profile["log"]
    key = Vkey.parse(demo.services.evidence.vkey)
    head, signers = open_checkpoint(place["checkpoint"], [key])
    assert signers == (key,)
    (entry,) = await demo.services.evidence.entries(place["index"], place["index"] + 1)
    proof = [base64.b64decode(node) for node in place["proof"]]
    verify_inclusion(place["index"], head.size, leaf_hash(entry.entry), proof, head.root)
    assert orjson.loads(entry.entry)["profile"] == profile["id"]
    report = await export_and_verify(demo.services, tmp_path / "log")
    assert (report.ok, report.trusted) == (True, True)
    text = (tmp_path / "log" / "tile" / "entries").rglob("*")
    stored = b"".join(p.read_bytes() for p in text if p.is_file())
    # No personal data and no credit code in plain sight: pseudonyms and commitments only.
    assert profile["subject"]["uscc"].encode() not in stored
    assert profile["subject"]["name"].encode() not in stored


@shared_loop
async def test_any_flipped_bit_of_the_exported_log_is_found(demo: Demo, tmp_path: Path) -> None:
    await ask(demo, (await demo.scenarios())["clean"])
    folder = tmp_path / "log"
    assert (await export_and_verify(demo.services, folder)).ok
    key = [Vkey.parse(demo.services.evidence.vkey)]
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    places = [(p, at, bit) for p in files for at in range(p.stat().st_size) for bit in range(8)]
    # tests/test_log_verify.py flips every bit of a log; here a sample over the real one, and over its small files.
    small, seeded = [place for place in places if place[0].name in ("checkpoint", "vkey")], random.Random(1)
    for path, at, bit in [*seeded.sample(small, 200), *seeded.sample(places, 200)]:
        good = path.read_bytes()
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :])
        report = verify_export(folder, key)
        path.write_bytes(good)
        assert not report.ok, (path.name, at, bit)
    assert verify_export(folder, key).ok


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """What the command printed, and the folder that it kept."""
    folder = tmp_path_factory.mktemp("demo") / "kept"
    run = [str(Path(sys.executable).parent / "xinqiao"), "demo", "--json", "--keep", str(folder)]
    return orjson.loads(subprocess.run(run, check=True, capture_output=True).stdout), folder


def test_the_demo_prints_what_others_rely_on(kept: tuple[Any, Path]) -> None:
    shown, _ = kept
    assert set(shown) == {"consent", "profile", "jws", "jwks", "log"}
    asked = [s for s in shown["profile"]["sections"].values() if s["state"] != "not_requested"]
    assert len(asked) >= 9
    assert shown["log"]["verified"] is True
    # PyJWT knows nothing of this project.
    header = jwt.get_unverified_header(shown["jws"])
    (jwk,) = [k for k in shown["jwks"]["keys"] if k["kid"] == header["kid"]]
    payload = jwt.api_jws.decode(shown["jws"], jwt.PyJWK(jwk), algorithms=["EdDSA"])
    assert orjson.loads(payload) == {k: v for k, v in shown["profile"].items() if k != "log"}


def test_the_kept_log_verifies_with_the_stand_alone_program_in_a_bare_interpreter(kept: tuple[Any, Path]) -> None:
    _, folder = kept
    verify = [sys.executable, "-m", "consent.log.verify", str(folder / "log"), "--vkey", str(folder / "log" / "vkey")]
    done = subprocess.run(verify, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("intact up to entry")
    (folder / "log" / "checkpoint").write_bytes(b"")
    assert subprocess.run(verify, check=False, capture_output=True).returncode == 1
