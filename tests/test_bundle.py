"""Evidence bundles: the right one is verified by anybody, offline; no byte of it can change, no part be exchanged."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import consent
from consent.log.archive import MAX_ARCHIVE, pack, unpack
from consent.log.bundle import DESTROYED, BundleReport, verify_bundle, write_bundle
from consent.log.chain import ABOUT_CONSENT, ABOUT_PERMIT, ABOUT_PROFILE, STATES, Unfit
from consent.log.commitment import commit
from consent.log.jws import canonical_json, unb64url
from consent.log.merkle import leaf_hash, root_of
from consent.log.note import COSIGNATURE, Checkpoint, Vkey, cosign, sign_checkpoint
from consent.log.rotation import Rotation
from consent.log.verify import main
from gateway.profile.sign import ProfileSigner
from schemas.events import EVENTS
from tests.evidence_world import KEY, ORIGIN, SIGNER, VKEY, Again, Story, entry, flipped, log_of, refused, repacked

BUNDLE = Story().bundle()
FILES = unpack(BUNDLE)
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
STRANGER = Vkey.of(ORIGIN, OTHER)
PAYLOADS = ["payload/0/consent", "payload/2/profile", "payload/2/reply/sh-hrss/social_insurance"]
PROFILE, REPLY = PAYLOADS[1:]


def problem(report: BundleReport) -> tuple[str, str]:
    assert report.problem is not None
    return report.problem


def test_a_bundle_shows_every_step_and_is_trusted_only_with_keys_from_elsewhere() -> None:
    report = verify_bundle(BUNDLE)
    assert report.text().splitlines() == [
        f"consistent: profile p1, in the log {ORIGIN} of 4",
        "entry 0: consent.granted 2026-11-24T06:00:00.000+00:00 by bank-a",
        "entry 1: permit.granted 2026-11-24T06:00:00.000+00:00 by bank-a",
        "entry 2: profile.issued 2026-11-24T06:00:00.000+00:00 by bank-a",
        "entry 3: profile.read 2026-11-24T06:00:00.000+00:00 by bank-a",
        "consistent, signer of the log not trusted",
        "consistent, signer of the profile not trusted",
    ]
    report = verify_bundle(BUNDLE, [STRANGER, VKEY], SIGNER.jwks())
    assert (report.ok, report.log_trusted, report.profile_trusted) == (True, True, True)
    assert report.text().startswith("proven: profile p1, ")
    assert report.text().endswith(f"log signed by {VKEY.label()}\nprofile signed by {SIGNER.kid}\n")
    assert verify_bundle(BUNDLE, [VKEY]).text().endswith("signer of the profile not trusted\n")


def test_the_report_as_json_says_the_same() -> None:
    told = json.loads(verify_bundle(BUNDLE, [VKEY], SIGNER.jwks()).as_json())
    assert (told["ok"], told["problem"], told["profile"], told["size"], told["origin"]) == (True, None, "p1", 4, ORIGIN)
    assert told["log"] == {"trusted": True, "signers": [VKEY.label()]}
    assert told["profile_signature"] == {"trusted": True, "kids": [SIGNER.kid]}
    assert [e["event"] for e in told["entries"]][:2] == ["consent.granted", "permit.granted"]
    broken = json.loads(verify_bundle(b"").as_json())
    assert (broken["ok"], broken["root"], broken["problem"]["path"]) == (False, None, "bundle")


def test_keys_of_others_are_refused() -> None:
    assert problem(verify_bundle(BUNDLE, [STRANGER])) == ("checkpoint", "no trusted key signed this checkpoint")
    assert problem(verify_bundle(BUNDLE, [VKEY], ProfileSigner(OTHER).jwks())) == ("jwks.json", "not a trusted key")
    assert problem(verify_bundle(BUNDLE, jwks={"keys": []}))[0] == "jwks.json"
    witness = Vkey.of("witness.example.test", OTHER, COSIGNATURE)
    assert "no known witness" in problem(verify_bundle(BUNDLE, witnesses=[witness]))[1]


def test_a_bundle_is_a_zip_file_that_any_tool_opens() -> None:
    with zipfile.ZipFile(io.BytesIO(BUNDLE)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == sorted(["checkpoint", "index.html", "jwks.json", "log.json", *PAYLOADS, "vkey"])
        assert {name: archive.read(name) for name in archive.namelist()} == FILES


def test_every_changed_byte_of_the_file_is_refused() -> None:
    assert [at for at in range(len(BUNDLE)) if verify_bundle(flipped(BUNDLE, 8 * at + at % 8)).ok] == []


# A bit more of a name or a number may fit the rules of one part and show only in the next.
SHOWS_IN = {"vkey": {"checkpoint"}, "log.json": {*PAYLOADS}, "jwks.json": {PROFILE}}


@pytest.mark.parametrize("path", sorted(FILES))
def test_every_changed_byte_of_a_part_is_refused_and_blamed_on_a_part_it_shows_in(path: str) -> None:
    # The page is compared as a whole, so there a few bytes say as much as all of them.
    places = range(0, len(FILES[path]), 97 if path == "index.html" else 1)
    reports = [verify_bundle(pack({**FILES, path: flipped(FILES[path], 8 * at + at % 8)})) for at in places]
    assert {problem(report)[0] for report in reports} <= {path} | SHOWS_IN.get(path, set())


@pytest.mark.parametrize("cut", [0, 1, 21, 22, 30, 200, len(BUNDLE) - 1])
def test_a_file_cut_short_or_lengthened_is_refused(cut: int) -> None:
    assert problem(verify_bundle(BUNDLE[:cut]))[0] == "bundle"
    assert problem(verify_bundle(BUNDLE + bytes(cut + 1)))[0] == "bundle"
    assert problem(verify_bundle(bytes(cut + 1) + BUNDLE))[0] == "bundle"


def test_another_zip_of_the_same_files_is_refused() -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    assert problem(verify_bundle(written.getvalue()))[0] == "bundle"
    assert problem(verify_bundle(bytes(MAX_ARCHIVE + 1))) == ("bundle", "too large")


@pytest.mark.parametrize("path", sorted(FILES))
def test_a_missing_part_is_named(path: str) -> None:
    assert problem(verify_bundle(repacked(BUNDLE, lambda files: files.pop(path)))) == (path, "missing")


def test_a_part_that_does_not_belong_is_named() -> None:
    for path in ("payload/9/profile", "note.txt", "payload/2/reply/other/social_insurance"):
        report = verify_bundle(pack({**FILES, path: b"x"}))
        assert problem(report) == (path, "does not belong to this evidence")


def other_story() -> Story:
    """Another profile of the same enterprise under the same consent, in a log of the same key."""
    story = Story()
    story.reply["records"][0]["persons"] = 99
    story.profile["sections"]["social_insurance"]["records"][0]["persons"] = 99
    story.profile["id"] = "p2"
    for step in (story.issued, story.read):
        step["entry"] |= {"id": "other " + step["entry"]["event"], "profile": "p2"}
    return story


def test_no_mixture_of_the_parts_of_two_bundles_is_accepted() -> None:
    other = unpack(other_story().bundle())
    differ = [path for path in FILES if FILES[path] != other[path]]
    assert set(differ) == {"checkpoint", "index.html", "log.json", PROFILE, REPLY}
    for choice in range(1, 2 ** len(differ) - 1):
        taken = {path: other[path] for bit, path in enumerate(differ) if choice >> bit & 1}
        assert not verify_bundle(pack({**FILES, **taken})).ok, sorted(taken)


def test_the_keys_of_a_bundle_open_no_commitment_but_their_own() -> None:
    story, other = Story(), other_story()
    keys = [held[0] for item in story.items() for held in item.payloads.values() if held]
    other.items()
    for step in (*story.steps, *other.steps):
        text = json.dumps(step["entry"])
        for name, payload in step["payloads"].items():
            digest = hashlib.sha256(payload).digest()
            opening = [key for key in keys if commit(key, digest) in text]
            assert len(opening) == (1 if step in story.steps or step["entry"]["event"] == "consent.granted" else 0), (
                name
            )


@pytest.mark.parametrize(
    ("destroyed", "gone"),
    [
        ({"profile"}, [(2, "profile")]),
        ({"reply/sh-hrss/social_insurance"}, [(2, "reply/sh-hrss/social_insurance")]),
        ({"consent"}, [(0, "consent")]),
        (
            {"profile", "consent", "reply/sh-hrss/social_insurance"},
            [(0, "consent"), (2, "profile"), (2, "reply/sh-hrss/social_insurance")],
        ),
    ],
)
def test_what_was_destroyed_is_named_and_everything_else_is_still_proven(
    destroyed: set[str], gone: list[tuple[int, str]]
) -> None:
    story = Story()
    story.destroyed = destroyed
    bundle = story.bundle()
    report = verify_bundle(bundle, [VKEY], SIGNER.jwks())
    assert report.ok
    assert sorted(report.destroyed) == gone
    for index, name in gone:
        assert f"entry {index}, {name}: {DESTROYED}\n" in report.text()
    assert DESTROYED in unpack(bundle)["index.html"].decode()
    assert report.profile_trusted == ("profile" not in destroyed)
    assert (not report.profile_keys) == ("profile" in destroyed) == ("jwks.json" not in unpack(bundle))
    assert json.loads(report.as_json())["destroyed"] == [{"entry": i, "payload": n} for i, n in report.destroyed]


def through(story: Story, agreed: list[str], asked: str | None, came: str | None) -> None:
    """The insured persons come through an outlet."""
    story.consent["scopes"][0]["via"] = agreed
    if asked:
        story.permit["entry"]["items"][0] += [None, asked]
    story.sources[0]["via"] = came


def test_an_outlet_is_on_the_page_where_the_consent_the_permit_and_the_profile_name_it() -> None:
    story = Story()
    through(story, agreed=["outlet-a", "outlet-b"], asked="outlet-a", came="outlet-a")
    bundle = story.bundle()
    assert verify_bundle(bundle, [VKEY], SIGNER.jwks()).ok
    html = unpack(bundle)["index.html"].decode()
    assert "<td>month, persons</td><td>outlet-a, outlet-b</td>" in html
    assert "<td>month, persons</td><td>—</td><td>outlet-a</td>" in html


@pytest.mark.parametrize("destroyed", [set(), {"items"}, {"sources"}, {"sources", "items", "profile"}, {"status"}])
def test_lists_that_were_too_large_for_an_entry_are_payloads(destroyed: set[str]) -> None:
    story = Story()
    story.permit["payloads"] = {"items": canonical_json(story.permit["entry"]["items"])}
    story.large = True
    story.destroyed = destroyed
    story.steps.append(story.status("consent.revoked", 2))
    report = verify_bundle(story.bundle(), [VKEY], SIGNER.jwks())
    assert report.ok
    assert {name for _, name in report.destroyed} == destroyed


def test_a_consent_that_was_given_on_our_page_shows_the_act_and_one_that_was_changed_its_reasons() -> None:
    story = Story()
    act = entry("request.given", request="r1", actor="enterprise")
    act["payloads"] = {"act": b"a signed record"}
    back = story.status("consent.resumed", 3)
    story.permit["entry"]["version"] = 3
    resumed = entry("permit.resumed", permit="m1", officer=None, first="2025-12", last="2026-11")
    resumed["entry"]["items"] = story.permit["entry"]["items"]
    story.steps[1:1] = [act, story.status("consent.suspended", 2), back]
    story.steps[5:5] = [resumed]
    story.steps.append(story.status("consent.revoked", 4))
    bundle = story.bundle()
    assert verify_bundle(bundle, [VKEY], SIGNER.jwks()).ok
    files = unpack(bundle)
    assert files["payload/1/act"] == b"a signed record"
    for version in (2, 3, 4):
        assert f"<td>reason of {version}</td>" in files["index.html"].decode()
    story.destroyed = {"act"}
    assert verify_bundle(story.bundle()).destroyed == ((1, "act"),)
    act["payloads"] = {"act": b"another record"}
    story.destroyed = set()
    assert refused(story).startswith("payload/1/act: the record of the act is not the same")


def test_a_log_that_changed_its_key_is_followed_from_the_old_key_to_the_new_one() -> None:
    story = Story()
    rotation = Rotation(ORIGIN, 4, VKEY, STRANGER)
    told = entry("log.rekeyed", consent=None, subject=None, statement=rotation.sign(KEY, OTHER))
    story.steps.append(told)
    assert "a key that was replaced at entry 4" in problem(verify_bundle(story.bundle(), [VKEY]))[1]
    story.key = OTHER
    bundle = story.bundle()
    assert verify_bundle(bundle, [VKEY]).signers == (STRANGER.label(),)
    told["entry"]["statement"] = rotation.sign(OTHER, OTHER)
    assert refused(story).startswith("log.json: entry 4: ")


def test_revisions_by_two_keys_are_shown_under_both_and_every_one_must_be_trusted() -> None:
    story, newer = Story(), ProfileSigner(OTHER, [unb64url(SIGNER.jwk["x"])])
    again = entry("profile.issued", permit="m1", profile="p1", revision=2, sources=[])
    again["payloads"] = {"profile": newer.sign({**story.profile, "revision": 2, "sources": []}).jws}
    story.steps.insert(3, again)
    items = story.items()
    assert [jwk["kid"] for jwk in newer.jwks()["keys"]] == [newer.kid, SIGNER.kid]
    bundle = write_bundle(story.checkpoint, [VKEY.text()], newer.jwks(), items)
    report = verify_bundle(bundle, [VKEY], newer.jwks())
    assert (report.profile_keys, report.profile_trusted) == ((SIGNER.kid, newer.kid), True)
    assert f"profile signed by {SIGNER.kid}, {newer.kid}\n" in report.text()
    assert problem(verify_bundle(bundle, [VKEY], SIGNER.jwks())) == ("jwks.json", "not a trusted key")
    files = unpack(bundle)
    for keys in ([newer.jwk, SIGNER.jwk], [SIGNER.jwk, newer.jwk, newer.jwk]):
        turned = pack({**files, "jwks.json": canonical_json({"keys": keys})})
        assert "in their order" in problem(verify_bundle(turned))[1]
    # The key that signed is not among those that are given.
    with pytest.raises(Unfit):
        write_bundle(story.checkpoint, [VKEY.text()], SIGNER.jwks(), items)


@pytest.mark.parametrize("jws", [b"\xff", b"", b"e30.x.y", b"W10.x.y", b"x.y.z"])
def test_what_is_no_signed_profile_is_not_handed_out_as_one(jws: bytes) -> None:
    story = Story()
    items = story.items()
    issued = items[2]
    key, _ = issued.payloads["profile"] or (b"", b"")
    items[2] = replace(issued, payloads={**issued.payloads, "profile": (key, jws)})
    with pytest.raises(Unfit):
        write_bundle(story.checkpoint, [VKEY.text()], SIGNER.jwks(), items)


def test_witnesses_that_co_signed_are_named() -> None:
    story = Story()
    items = story.items()
    witness = Vkey.of("witness.example.test", OTHER, COSIGNATURE)
    head = Checkpoint(ORIGIN, 4, root_of([leaf_hash(item.entry) for item in items]))
    note = sign_checkpoint(head, ORIGIN, KEY) + cosign(head.text(), witness.name, OTHER, 1_795_500_000)
    bundle = write_bundle(note, [VKEY.text(), witness.text()], SIGNER.jwks(), items)
    report = verify_bundle(bundle, [VKEY], SIGNER.jwks(), [witness])
    assert report.cosigners == ((witness.label(), 1_795_500_000),)
    assert f"co-signed by {witness.label()} at 2026-11-24T06:00:00Z\n" in report.text()
    assert json.loads(report.as_json())["cosigners"] == [{"name": witness.label(), "time": 1_795_500_000}]


def lie(change: Callable[[Story], object]) -> str:
    story = Story()
    change(story)
    return refused(story)


LIES: dict[str, tuple[Callable[[Story], object], str]] = {
    "no profile": (lambda s: s.steps.remove(s.issued), "no profile was issued"),
    "no consent": (lambda s: s.steps.remove(s.granted), "the consent is missing"),
    "no permit": (lambda s: s.steps.remove(s.permit), "not one permit"),
    "a permit after the profile": (lambda s: s.steps.insert(0, s.steps.pop(2)), "not one permit"),
    "a consent after its use": (lambda s: s.steps.append(s.steps.pop(0)), "no consent from before its use"),
    "two permits": (lambda s: s.steps.insert(1, dict(s.permit)), "not one permit"),
    "a reading before the profile": (lambda s: s.steps.insert(0, s.steps.pop(3)), "read before it was issued"),
    "a strange event": (lambda s: s.steps.append(entry("log.read", first=1, last=2)), "entry 4 does not belong"),
    "another consent": (lambda s: s.permit["entry"].update(consent="c2"), "what entry 1 is about is not the same"),
    "another subject": (lambda s: s.granted["entry"].update(subject="s2"), "what entry 0 is about is not the same"),
    "another lender": (lambda s: s.permit["entry"].update(actor="bank-b"), "the permit of entry 1 is not the same"),
    "another permit": (lambda s: s.permit["entry"].update(permit="m2"), "the permit of entry 1 is not the same"),
    "a reading of another profile": (lambda s: s.read["entry"].update(profile="p2"), "the profile of entry 3 is not"),
    "a version left out": (
        lambda s: s.steps.insert(1, s.status("consent.resumed", 3)),
        "the consent's versions is not",
    ),
    "another first version": (lambda s: s.granted["entry"].update(version=2), "the count of the consent's versions"),
    "a permit of another version": (lambda s: s.permit["entry"].update(version=2), "the consent's version is not"),
    "a revision left out": (lambda s: s.issued["entry"].update(revision=2), "the count of the profile's revisions"),
    "withdrawn before the profile": (
        lambda s: s.steps.insert(2, s.status("consent.revoked", 2)),
        "the consent did not hold at entry 3",
    ),
    "suspended before the permit": (
        lambda s: (s.steps.insert(1, s.status("consent.suspended", 2)), s.permit["entry"].update(version=2)),
        "the consent did not hold at entry 2",
    ),
    "no first state": (
        lambda s: s.steps.__setitem__(0, s.status("consent.resumed", 1)),
        "the consent is missing",
    ),
    "issued after the permit's end": (
        lambda s: s.issued["entry"].update(time="2026-11-24T06:15:00.000+00:00"),
        "entry 2 was issued after its permit had ended",
    ),
    "another grantee": (lambda s: s.consent.update(grantee="bank-b"), "the grantee is not the same"),
    "another purpose in the document": (lambda s: s.consent.update(purpose="sale"), "the purpose is not the same"),
    "another purpose in the permit": (
        lambda s: s.permit["entry"].update(purpose="sale"),
        "the purpose is not the same",
    ),
    "another assurance": (lambda s: s.consent.update(assurance="gateway_captured"), "the assurance is not the same"),
    "an act left out": (
        lambda s: s.granted["entry"].update(assurance="gateway_captured"),
        "the act by which the consent was given is missing",
    ),
    "another validity": (lambda s: s.consent.update(valid_to="2028-01-01T00:00:00+00:00"), "the validity is not"),
    "used before it was valid": (
        lambda s: [d.update(valid_from="2026-11-24T07:00:00+00:00") for d in (s.consent, s.granted["entry"])],
        "was not valid when it was used",
    ),
    "used too often": (lambda s: s.permit["entry"].update(use=2), "was used more often than agreed"),
    "a field that was not agreed": (
        lambda s: s.permit["entry"]["items"][0][2].append("base"),
        "payload/0/consent: does not cover what the permit names",
    ),
    "a source that was not permitted": (
        lambda s: s.permit["entry"]["items"].pop(),
        "entry 2 has a source that the permit does not name",
    ),
    "an outlet that was not agreed": (
        lambda s: through(s, agreed=["outlet-b"], asked="outlet-a", came="outlet-a"),
        "payload/0/consent: does not cover what the permit names",
    ),
    "an outlet that was not permitted": (
        lambda s: through(s, agreed=["outlet-a"], asked=None, came="outlet-a"),
        "payload/2/profile: a source came another way than the permit names",
    ),
    "a platform asked itself instead of the outlet": (
        lambda s: through(s, agreed=["outlet-a"], asked="outlet-a", came=None),
        "payload/2/profile: a source came another way than the permit names",
    ),
    "a profile with another id": (lambda s: s.profile.update(id="p2"), "whose profile it is is not the same"),
    "a profile for another purpose": (lambda s: s.profile.update(purpose="sale"), "whose profile it is is not"),
    "a profile of another period": (
        lambda s: s.profile["period"].update(first="2020-01"),
        "the period is not the same",
    ),
    "a profile of another enterprise": (lambda s: s.profile["subject"].update(name="x"), "the enterprise is not"),
    "records that no platform gave": (
        lambda s: s.profile["sections"]["social_insurance"]["records"][1].update(persons=31),
        "payload/2/reply/sh-hrss/social_insurance: what the platform answered is not the same",
    ),
    "records left out of the profile": (
        lambda s: s.profile["sections"]["social_insurance"]["records"].pop(),
        "what the platform answered is not the same",
    ),
    "an entry of no form": (lambda s: s.permit["entry"].pop("use"), "not entries of this log's form"),
    "an entry with a float": (lambda s: s.read["entry"].update(revision=1.5), "log.json"),
    "an entry that is too large": (lambda s: s.read["entry"].update(note="x" * 5000), "entry 3: larger than 4096"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_signed_log_whose_entries_do_not_fit_together_proves_nothing(name: str) -> None:
    change, why = LIES[name]
    assert why in lie(change)


def test_an_answer_that_was_used_again_is_shown_with_the_entry_that_brought_it() -> None:
    data = Again().bundle()
    report = verify_bundle(data, [VKEY], SIGNER.jwks())
    assert (report.problem, report.profile) == (None, "p1")
    assert [event for _, event, _, _ in report.entries].count("profile.issued") == 2
    page = unpack(data)["index.html"].decode()
    assert "沿用第 1 条的应答 answer of entry 1 used again" in page
    assert not verify_bundle(data[:-40]).ok


def test_an_answer_of_a_call_under_way_is_shown_with_the_permit_that_it_was_made_under() -> None:
    story = Story()
    story.sources[0]["origin"] = {"how": "shared", "permit": "m0", "entry": None, "commitment": None}
    assert "one call with permit m0" in unpack(story.bundle())["index.html"].decode()


def test_a_permit_that_was_resumed_uses_what_was_brought_under_the_version_that_it_was_resumed_under() -> None:
    story = Again()
    told = {name: story.permit["entry"][name] for name in ("permit", "officer", "first", "last", "items")}
    rested = [story.status("consent.suspended", 2), story.status("consent.resumed", 3)]
    again = entry("permit.resumed", **told)
    story.steps = [story.granted, story.permit, *rested, story.earlier, again, story.issued, story.read]
    story.origin["entry"] = 4
    assert verify_bundle(story.bundle(), [VKEY], SIGNER.jwks()).problem is None


@pytest.mark.parametrize("destroyed", ["reply/sh-hrss/social_insurance", "profile"])
def test_an_answer_that_was_used_again_is_proven_as_far_as_it_was_not_destroyed(destroyed: str) -> None:
    story = Again()
    story.destroyed = {destroyed}
    report = verify_bundle(story.bundle(), [VKEY])
    assert (report.problem, {name for _, name in report.destroyed}) == (None, {destroyed})


def test_the_earlier_profile_may_have_lost_its_list_of_sources() -> None:
    story = Again()
    story.hidden = True
    items = story.items()
    kept = {"profile": items[1].payloads["profile"], "sources": None}
    items[1] = replace(items[1], payloads=kept)
    report = verify_bundle(write_bundle(story.checkpoint, [VKEY.text()], SIGNER.jwks(), items), [VKEY])
    assert (report.problem, report.destroyed) == (None, ((1, "sources"),))


def test_the_profile_itself_may_have_been_destroyed_and_the_earlier_one_not() -> None:
    story = Again()
    items = story.items()
    items[3] = replace(items[3], payloads={**items[3].payloads, "profile": None})
    report = verify_bundle(write_bundle(story.checkpoint, [VKEY.text()], SIGNER.jwks(), items), [VKEY])
    assert (report.problem, report.destroyed) == (None, ((3, "profile"),))


AGAIN: dict[str, tuple[Callable[[Again], object], str]] = {
    "an earlier profile left out": (
        lambda s: (s.steps.remove(s.earlier), s.origin.update(entry=7)),
        "the earlier profile whose answer entry 2 uses again is missing",
    ),
    "an earlier profile that nothing names": (
        lambda s: s.sources[0].pop("origin"),
        "entry 1 does not belong to this evidence",
    ),
    "another lender's": (lambda s: s.earlier["entry"].update(actor="bank-b"), "the origin of an answer of entry 3"),
    "another permit's": (lambda s: s.origin.update(permit="m9"), "the origin of an answer of entry 3 is not the same"),
    "another enterprise's": (lambda s: s.earlier["entry"].update(subject="s2"), "what entry 1 is about is not"),
    "another consent's": (lambda s: s.earlier["entry"].update(consent="c2"), "what entry 1 is about is not"),
    "one of another version of the consent": (
        lambda s: (
            s.steps.__setitem__(slice(2, 2), [s.status("consent.suspended", 2), s.status("consent.resumed", 3)]),
            s.permit["entry"].update(version=3),
        ),
        "the consent's version at the origin of an answer of entry 5",
    ),
    "one that brought something else": (
        lambda s: s.before_reply["records"].pop(),
        "payload/3/reply/sh-hrss/social_insurance: what was used again is not the same",
    ),
    "another commitment": (lambda s: s.origin.update(commitment="0" * 64), "entry 1 did not bring what entry 3 uses"),
    "one that brought nothing": (lambda s: setattr(s, "told", []), "entry 1 did not bring what entry 3 uses again"),
    "one that had it from another": (
        lambda s: s.before["sources"][0].update(
            origin={"how": "reused", "permit": "m8", "entry": 0, "commitment": "0" * 64}
        ),
        "entry 1 did not bring what entry 3 uses again",
    ),
    "one that was not whole": (
        lambda s: s.before["sources"][0].update(state="partial"),
        "entry 1 did not bring what entry 3 uses again",
    ),
    "a profile that is not its entry's": (lambda s: s.before.update(id="p9"), "payload/1/profile: whose profile it is"),
    "another purpose": (lambda s: s.before.update(purpose="sale"), "the purpose of what was used again is not"),
    "another period": (
        lambda s: s.before.update(period={"first": "2025-11", "last": "2026-11"}),
        "the period of what was used again is not the same",
    ),
    "another time of fetching": (
        lambda s: s.before["sources"][0].update(fetched_at="2026-11-24T05:30:00.000+00:00"),
        "payload/1/profile: how what was used again was fetched is not the same",
    ),
}


@pytest.mark.parametrize("name", AGAIN)
def test_an_answer_used_again_that_an_earlier_profile_did_not_bring_proves_nothing(name: str) -> None:
    change, why = AGAIN[name]
    story = Again()
    change(story)
    assert why in refused(story)


def test_a_list_of_sources_that_is_not_the_profiles_is_refused() -> None:
    story = Story()
    story.listed = [["sh-hrss", "social_insurance", "present", None, None]]
    assert "the list of sources is not the same" in refused(story)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda log: log.update(form="xinqiao/evidence/v2"), "log.json"),
        (lambda log: log.update(more=1), "log.json"),
        (lambda log: log.pop("entries"), "log.json"),
        (lambda log: log["entries"].reverse(), "log.json"),
        (lambda log: log["entries"].append(log["entries"][3]), "log.json"),
        (lambda log: log["entries"].pop(3), "index.html"),
        (lambda log: log["entries"].pop(2), "log.json"),
        (lambda log: log["entries"][0].update(index=1.0), "log.json"),
        (lambda log: log["entries"][0].update(index="0"), "log.json"),
        (lambda log: log["entries"][0].update(more=1), "log.json"),
        (lambda log: log["entries"][0].update(entry=[]), "log.json"),
        (lambda log: log["entries"][0]["proof"].append("AA=="), "log.json"),
        (lambda log: log["entries"][0]["proof"].pop(), "log.json"),
        (lambda log: log["entries"][0].update(proof=[1]), "log.json"),
        (lambda log: log["entries"][0]["keys"].update(more=None), "log.json"),
        (lambda log: log["entries"][0]["keys"].clear(), "log.json"),
        (lambda log: log["entries"][0]["keys"].update(consent="AB" * 32), PAYLOADS[0]),
        (lambda log: log["entries"][0]["keys"].update(consent="ab" * 32), PAYLOADS[0]),
        (lambda log: log["entries"][0]["keys"].update(consent=None), "index.html"),
    ],
)
def test_a_rewritten_list_of_entries_is_refused(change: Callable[[Any], object], path: str) -> None:
    log = log_of(FILES)
    change(log)
    assert problem(verify_bundle(pack({**FILES, "log.json": canonical_json(log)})))[0] == path


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{", b"\xff", b'{"a":1,"a":1}', b'{ "a":1}', b'{"a":NaN}', b'{"a":1.0}', b"[" * 100_000, b"9" * 5000],
)
def test_what_is_not_canonical_json_is_refused(text: bytes) -> None:
    assert problem(verify_bundle(pack({**FILES, "log.json": text})))[0] == "log.json"
    assert problem(verify_bundle(pack({**FILES, "jwks.json": text})))[0] == "jwks.json"


def test_a_profile_that_the_published_key_did_not_sign_is_refused() -> None:
    other = canonical_json(ProfileSigner(OTHER).jwks())
    assert problem(verify_bundle(pack({**FILES, "jwks.json": other}))) == (
        PROFILE,
        "not signed by a key in jwks.json",
    )
    both = canonical_json({"keys": [SIGNER.jwk, ProfileSigner(OTHER).jwk]})
    assert problem(verify_bundle(pack({**FILES, "jwks.json": both})))[0] == "jwks.json"


def test_every_event_that_changes_a_consent_is_one_the_evidence_knows() -> None:
    assert {name for name in EVENTS if name.startswith("consent.")} == set(STATES)
    assert {*ABOUT_CONSENT, *ABOUT_PERMIT, *ABOUT_PROFILE} <= EVENTS.keys()


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a tree."""
    keys = node.keys() if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in list(keys):
        yield node, key
        yield from places(node[key])


ODD = st.sampled_from([None, True, 0, -1, 2**53 - 1, "", "x", "2026-13-01", [], [[]], [1, 2], {}, {"a": None}])


@given(st.integers(0, 10_000), ODD)
@settings(max_examples=300, deadline=None)
def test_an_odd_value_anywhere_in_a_signed_story_is_a_refusal_or_changes_nothing_but_what_it_says(
    number: int, odd: Any
) -> None:
    """Nothing but Unfit is ever raised, whatever a log and its gateway signed."""
    story = Story()
    story.steps.insert(1, story.status("consent.suspended", 2))
    story.steps.insert(2, story.status("consent.resumed", 3))
    story.permit["entry"]["version"] = 3
    entries = [step["entry"] for step in story.steps]
    every = list(places([*entries, story.consent, story.profile, story.reply]))
    container, key = every[number % len(every)]
    assume(not (isinstance(container, dict) and key in ("event", "id") and container in entries))
    container[key] = odd
    if not refused(story):
        assert verify_bundle(story.bundle(), [VKEY], SIGNER.jwks()).ok


@given(st.binary(max_size=200) | st.integers(0, len(BUNDLE)).map(lambda at: BUNDLE[:at] + b"PK" + BUNDLE[at:]))
@settings(max_examples=200, deadline=None)
def test_no_bytes_make_the_verifier_raise(data: bytes) -> None:
    assert problem(verify_bundle(data))[0] == "bundle"


def test_the_page_has_no_script_no_foreign_address_and_both_languages_and_escapes_what_it_shows() -> None:
    page = FILES["index.html"].decode()
    assert "虚构&lt;测试&gt;企业 &amp; 甲" in page
    assert "<测试>" not in page
    for word in ("<script", "http://", "https://", "src=", "onload", "<link", "<a "):
        assert word not in page.lower()
    assert "default-src 'none'" in page
    for title in ("授权 Consent", "准许 Permit", "平台应答", "画像 Profile", "读取与导出 Readings", "证据日志 Log"):
        assert title in page
    assert page.count("<table>") == page.count("</table>") > 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "evidence.zip").write_bytes(BUNDLE)
    (tmp_path / "vkey").write_text(VKEY.text() + "\n")
    (tmp_path / "jwks").write_text(json.dumps(SIGNER.jwks()))
    (tmp_path / "other").write_text(json.dumps(ProfileSigner(OTHER).jwks()))
    (tmp_path / "note").write_bytes(FILES["checkpoint"])
    return tmp_path


def test_it_is_verified_in_a_folder_that_holds_nothing_of_ours_but_the_verifier(folder: Path) -> None:
    ours = Path(consent.__file__).parent
    shutil.copytree(ours / "log", folder / "alone/consent/log", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ours / "__init__.py", folder / "alone/consent")
    words = ["-m", "consent.log.verify", "--bundle", "../evidence.zip", "--vkey", "../vkey", "--jwks", "../jwks"]
    done = subprocess.run(
        [sys.executable, *words], cwd=folder / "alone", env={"PATH": os.defpath}, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == verify_bundle(BUNDLE, [VKEY], SIGNER.jwks()).text()


def test_the_command_exits_0_when_proven_and_1_when_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert main(["--bundle", "evidence.zip", "--vkey", "vkey", "--jwks", "jwks"]) == 0
    assert "profile signed by" in capsys.readouterr().out
    assert main(["--bundle", "evidence.zip", "--jwks", "other", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["problem"] == {"path": "jwks.json", "text": "not a trusted key"}
    assert main(["--bundle", "vkey"]) == 1
    assert capsys.readouterr().out.startswith("broken: bundle: not a ZIP file")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--bundle", "none"], "--bundle: not readable"),
        ([".", "--bundle", "evidence.zip"], "either DIR or --bundle is required"),
        (["--bundle", "evidence.zip", "--checkpoint", "note"], "--checkpoint belongs to DIR"),
        ([".", "--jwks", "jwks"], "--jwks belongs to --bundle"),
        (["--bundle", "evidence.zip", "--jwks", "vkey"], "not a JWKS of Ed25519 keys"),
        (["--bundle", "evidence.zip", "--jwks", "bad"], "not a JWKS of Ed25519 keys"),
    ],
)
def test_wrong_use_exits_2_and_says_why(
    words: list[str],
    complaint: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "bad").write_text('{"keys": [{"x": 1}]}')
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert complaint in capsys.readouterr().err
