"""The log over HTTP: its checkpoint opens with the published key, its proofs verify, its tiles are the export's."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from consent.ledger import read_head
from consent.log.merkle import leaf_hash, verify_consistency, verify_inclusion
from consent.log.note import Checkpoint, Vkey, open_checkpoint
from consent.log.tiles import export
from consent.profiles import access_refused
from gateway.services import open_services
from gateway.telemetry import Metrics
from tests.gateway_world import World, gateway_world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with gateway_world(tmp_path_factory.mktemp("log")) as made:
        for _ in range(5):
            await made.consent()
        yield made


async def head_of(world: World, path: str = "/v1/log/checkpoint") -> Checkpoint:
    reply = await world.send("GET", path)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    vkey = Vkey.parse((await world.send("GET", "/log/vkey")).body.decode().strip())
    return open_checkpoint(reply.body.decode(), [vkey])[0]


async def proof_of(world: World, path: str) -> tuple[dict[str, Any], list[bytes]]:
    reply = await world.send("GET", path, lender=world.lender)
    assert reply.status == 200
    return reply.json, [base64.b64decode(node, validate=True) for node in reply.json["proof"]]


async def test_the_checkpoint_opens_with_the_published_key_at_both_places(world: World) -> None:
    heads = [await head_of(world), await head_of(world, "/log/checkpoint")]
    assert heads[0] == heads[1]
    assert heads[0].size == world.demo.services.evidence.size
    assert heads[0].origin == world.demo.services.settings.origin


async def test_every_entry_is_proven_to_be_in_the_log(world: World) -> None:
    head = await head_of(world)
    for entry in await world.demo.services.evidence.entries(0, head.size):
        body, proof = await proof_of(world, f"/v1/log/proofs/inclusion?index={entry.index}")
        assert (body["index"], body["size"]) == (entry.index, head.size)
        verify_inclusion(entry.index, head.size, leaf_hash(entry.entry), proof, head.root)


async def test_an_entry_is_proven_in_an_older_size_too(world: World) -> None:
    older = await head_of(world)
    await world.consent()
    (entry,) = await world.demo.services.evidence.entries(2, 3)
    _, proof = await proof_of(world, f"/v1/log/proofs/inclusion?index=2&size={older.size}")
    verify_inclusion(2, older.size, leaf_hash(entry.entry), proof, older.root)


async def test_the_log_is_proven_to_have_only_grown(world: World) -> None:
    older = await head_of(world)
    await world.consent()
    newer = await head_of(world)
    for path in (f"from={older.size}", f"from={older.size}&to={newer.size}", f"from={older.size}&to={older.size}"):
        body, proof = await proof_of(world, f"/v1/log/proofs/consistency?{path}")
        new = newer if body["size"] == newer.size else older
        assert body["start"] == older.size
        verify_consistency(older.size, new.size, proof, older.root, new.root)


@pytest.mark.parametrize(
    ("query", "at"),
    [
        ("inclusion", "index"),
        ("inclusion?size=1", "index"),
        ("inclusion?index=", "index"),
        ("inclusion?index=x", "index"),
        ("inclusion?index=-1", "index"),
        ("inclusion?index=%D9%A1", "index"),
        ("inclusion?index=1&size=0x5", "size"),
        ("inclusion?index=0&size=1111111111111111", "size"),
        ("inclusion?index=0&size=999999", "index, size"),
        ("inclusion?index=2&size=2", "index, size"),
        ("inclusion?index=999999", "index, size"),
        ("inclusion?index=1&index=1", "query"),
        ("inclusion?index=1&from=1", "query"),
        ("consistency", "from"),
        ("consistency?from=0", "from, to"),
        ("consistency?from=3&to=2", "from, to"),
        ("consistency?from=1&to=999999", "from, to"),
        ("consistency?from=one", "from"),
    ],
)
async def test_a_query_for_a_proof_that_cannot_be_is_refused(world: World, query: str, at: str) -> None:
    reply = await world.send("GET", f"/v1/log/proofs/{query}", lender=world.lender)
    assert (reply.status, reply.json["details"]["at"]) == (400, at)


async def test_the_hash_tiles_are_those_of_an_export_and_entries_are_not_given(world: World, tmp_path: Path) -> None:
    for _ in range(260 - world.demo.services.evidence.size):
        await world.consent()
    export(world.demo.services.evidence.log_source(), tmp_path)
    files = [p for p in sorted((tmp_path / "tile").rglob("*")) if p.is_file()]
    hashes = [p for p in files if "entries" not in p.parts]
    assert {p.relative_to(tmp_path / "tile").as_posix() for p in hashes} == {"0/000", "0/001.p/4", "1/000.p/1"}
    for path in files:
        reply = await world.send("GET", f"/log/{path.relative_to(tmp_path).as_posix()}")
        if path in hashes:
            assert (reply.status, reply.body) == (200, path.read_bytes())
            assert reply.headers["Content-Type"] == "application/octet-stream"
        else:
            assert reply.status == 404


@pytest.mark.parametrize(
    "path",
    ["0/9", "0/999", "0/001", "0/001.p/5", "0/001.p/0", "9/000", "x/000", "0/000/..", "..%2f..%2fxinqiao.sqlite"],
)
async def test_a_tile_that_is_not_there_is_not_found(world: World, path: str) -> None:
    reply = await world.send("GET", f"/log/tile/{path}")
    assert (reply.status, reply.json["code"]) == (404, "not_found")


async def test_what_another_process_appended_is_proven_at_once(world: World) -> None:
    services = world.demo.services
    async with open_services(services.settings, now=world.watch, metrics=Metrics()) as other:
        index = await other.evidence.submit(access_refused("demo-bank", "not_found", "GET /v1/profiles/{id}", None))
        assert index >= services.evidence.size
        consistent = f"/v1/log/proofs/consistency?from={services.evidence.size}&to={index + 1}"
        assert (await world.send("GET", consistent, lender=world.lender)).status == 200
        proof = await world.send("GET", f"/v1/log/proofs/inclusion?index={index}", lender=world.lender)
        assert (proof.status, proof.json["size"]) == (200, index + 1)


@pytest.mark.parametrize("path", ["/v1/consents/%00", "/v1/profiles/a%00", "/v1/webhooks/%00/deliveries"])
async def test_a_name_that_no_database_holds_is_not_found_and_written_down(world: World, path: str) -> None:
    evidence = world.demo.services.evidence
    before = (await evidence.read(read_head)).size
    reply = await world.send("GET", path, lender=world.lender)
    assert (reply.status, reply.json["code"]) == (404, "not_found")
    (told,) = await evidence.entries(before, evidence.size)
    assert b'"event":"access.refused"' in told.entry
    assert b"\\u0000" not in told.entry


async def test_a_consent_id_that_no_database_holds_is_refused_before_it_is_asked_for(world: World) -> None:
    reply = await world.send("POST", "/v1/profiles", world.ask("c\x00"), lender=world.lender)
    assert (reply.status, reply.json["details"]["at"]) == (400, "consent_id")
