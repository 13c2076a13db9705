"""Every key that can change changes under load: ``python -m tests.faults.rotations ROUNDS``.

The key of the log, the key-encryption key, the keys of profiles and of access tokens, and the secret of a webhook, each
round once, while lenders work at two gateways on one log. Nothing is refused, and what an old key signed still holds.
"""

import asyncio
import sys
import tempfile
from itertools import chain
from pathlib import Path
from time import time

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.log.note import Checkpoint, Note, Vkey, sign_checkpoint
from consent.log.tiles import export
from consent.log.verify import verify_export
from consent.logkeys import RotateLogKey
from gateway.client import LenderClient
from gateway.keys import NEXT_LOG_KEY, finish_rotation, new_signing_key_pem, replace_signing, signing_key, write_private
from gateway.profile.sign import verify_profile
from gateway.services import open_services
from tests.faults.nursery import nursery
from tests.faults.world import Acknowledged, Place, place


async def rotate_all(at: Place, lender: LenderClient, webhook: str) -> None:
    """As `xinqiao keys next` and `xinqiao keys rotate` do, and the lender by HTTP."""
    folder = at.settings.key_folder
    write_private(folder / NEXT_LOG_KEY, new_signing_key_pem())
    async with open_services(at.settings) as services:
        await services.evidence.submit(RotateLogKey("operator", signing_key(folder / NEXT_LOG_KEY)))
        finish_rotation(folder)
        await services.evidence.keeper.next_epoch()
    replace_signing(folder, "profile", int(time()))
    replace_signing(folder, "token", int(time()))
    rotated = orjson.loads(await lender.call("POST", f"/v1/webhooks/{webhook}/rotate"))
    assert rotated["old_secret_until"]


async def rotations(at: Place, rounds: int, callers: int, seconds: float) -> tuple[Acknowledged, list[str]]:
    """What was acknowledged and refused, and what was wrong; ``seconds`` of load before, between and after."""
    gateways = [await at.start() for _ in range(2)]
    lender = at.lender(gateways[0])
    asked = {"url": "https://hooks.example.invalid/in", "events": ["consent.revoked"]}
    webhook = orjson.loads(await lender.call("POST", "/v1/webhooks", asked))["id"]
    first = signing_key(at.settings.key_folder / "log.pem")
    until = asyncio.Event()
    loads = [asyncio.create_task(at.load(gateway, callers, until)) for gateway in gateways]
    for _ in range(rounds):
        await asyncio.sleep(seconds)
        await rotate_all(at, lender, webhook)
    await asyncio.sleep(seconds)
    until.set()
    told = Acknowledged()
    for load in loads:
        told.add(await load)
    wrong = [f"refused: {code} {count} times" for code, count in told.refused.items()]
    wrong += list(chain.from_iterable([await at.unserved(gateway, told) for gateway in gateways]))
    async with at.session.get(gateways[1].url + "/.well-known/jwks.json") as reply:
        jwks = orjson.loads(await reply.read())
    signed = [await lender.jws(profile) for profile in told.profiles]
    wrong += [token[:99] for token in signed if verify_profile(token, jwks)["id"] not in told.profiles]
    kids = {token.split(".")[0] for token in signed}
    wrong += [] if len(kids) == rounds + 1 else [f"{len(kids)} keys signed profiles"]
    wrong += await at.judged(told)
    return told, wrong + await late_signature(at, first)


async def late_signature(at: Place, first: Ed25519PrivateKey) -> list[str]:
    """Whether the log's first key still counts for a head that it signs now."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        async with open_services(at.settings) as services:
            await asyncio.to_thread(export, services.evidence.log_source(), folder)
        head = Checkpoint.parse(Note.parse((folder / "checkpoint").read_text()).text)
        (folder / "checkpoint").write_text(sign_checkpoint(head, head.origin, first))
        (folder / "vkey").write_text(Vkey.of(head.origin, first).text() + "\n")
        report = await asyncio.to_thread(verify_export, folder)
    return [] if "a key that was replaced" in report.text() else ["the first key of the log still signs it"]


async def main(rounds: int) -> list[str]:
    with nursery() as forks, tempfile.TemporaryDirectory() as temporary:
        async with place(Path(temporary) / "data", forks) as at:
            told, wrong = await rotations(at, rounds, callers=16, seconds=5.0)
    print(
        f"{rounds} times every key at 2 gateways: {len(told.consents)} consents and {len(told.profiles)} profiles "
        f"acknowledged, {sum(told.refused.values())} refused; {len(wrong)} things wrong",
        *wrong,
        sep="\n",
    )
    return wrong


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main(int(sys.argv[1]))) else 0)
