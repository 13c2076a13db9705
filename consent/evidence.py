"""Everything about consent and proof, opened together: what the gateway and the command line work with."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from consent import reads, requests, reuse, texts
from consent.amendments import AmendConsent
from consent.audit import Flaw, audit
from consent.batch import Batch, Command
from consent.bundle import ProfileRow, bundle, profile_row
from consent.consents import ChangeConsent
from consent.cosignatures import SignedHead, signed_head
from consent.journal import Journal
from consent.keeper import OPERATOR, Keeper
from consent.leases import LEASE_SECONDS, Leases, PermitGuard
from consent.ledger import Ledger
from consent.log.note import Checkpoint, Note, NoteError
from consent.log.rotation import Succession
from consent.logkeys import succession
from consent.opening import prepare
from consent.permits import Permit, Sweep
from consent.profiles import Issued
from consent.reads import LogEntry, LogSource, Proven, StoredProfile
from consent.requests import ExpireRequests, StoredRequest
from consent.retention import Rules
from consent.reuse import Fits, Kept, Leave, Way
from consent.safe import Safe
from consent.search import Conditions, Found, applications, enterprise_of, search
from consent.shredding import BuryAgain
from consent.storage import Store, open_store
from consent.tables import metadata
from consent.uses import Use, uses_of
from consent.vault import RetentionClass, Vault
from schemas.base import utc_text
from schemas.consent import Consent, ConsentText, Enterprise, StatusChange
from schemas.errors import ConfigurationError, KeysUnavailable, StorageUnavailable

P = ParamSpec("P")
R = TypeVar("R")

SWEEP_SECONDS = 60.0
ANCHOR_SECONDS = 1.0
"""How old the head outside the database may be: a rollback by less than that is not seen."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Evidence:
    """Made by ``open_evidence``. Every coroutine raises StorageUnavailable when the storage fails."""

    def __init__(
        self,
        database: Store,
        ledger: Ledger,
        vault: Vault,
        journal: Journal,
        clock: Callable[[], datetime],
        safe: Safe,
        rules: Rules,
    ) -> None:
        self._safe = safe
        self.keeper = Keeper(journal.submit, self._read, self._fold, vault, safe, rules, clock)
        """What is destroyed when: shredding, epochs, retention."""
        self._database = database
        self._ledger = ledger
        self._vault = vault
        self._journal = journal
        self._clock = clock
        self._anchored = -1
        self._leases = Leases(self._standing, clock)

    @property
    def writable(self) -> bool:
        """Whether the log could be written when it was last tried; without it nothing is released."""
        return self._journal.writable

    @property
    def size(self) -> int:
        """Entries in the log, as this process last committed or found it."""
        return self._journal.head.size

    @property
    def vkey(self) -> str:
        """The log's verifier key, in signed-note form."""
        return self._ledger.vkey.text()

    async def submit(self, command: Command[R]) -> R:
        """The command's result once it is durable; its refusal is raised once that is."""
        if isinstance(command, ChangeConsent | AmendConsent):
            raise TypeError("a change of a consent goes to change_consent, which waits for the leases")
        return await self._journal.submit(command)

    async def change_consent(self, command: ChangeConsent | AmendConsent) -> Consent:
        """Answers when no process can start a call under the old state any more: its commit plus one lease."""
        changed = await self._journal.submit(command)
        self._leases.drop(command.consent_id)
        await asyncio.sleep(LEASE_SECONDS)
        return changed

    def guard(self, permit: Permit) -> PermitGuard:
        """What a connector asks before each send and on each arrival."""
        return self._leases.guard(permit)

    async def consent(self, consent_id: str) -> Consent | None:
        return await self._point(reads.consent, consent_id)

    async def consents_of(self, lender: str | None) -> list[Consent]:
        """All consents given to a lender (None: to any), oldest first."""
        return await self._read(reads.consents_of, lender, self._vault, self._clock())

    async def consent_history(self, consent_id: str) -> list[StatusChange]:
        """Every status the consent, and those that it amends, were given, oldest first."""
        held = await self.consent(consent_id)
        ids = [consent_id, *held.amends] if held else []
        return await self._read(reads.consent_history, ids, self._vault)

    async def status_index(self, consent_id: str) -> int:
        """The place in the log of the newest status of a consent that exists."""
        return await self._read(reads.status_index, consent_id)

    async def texts(self) -> list[ConsentText]:
        """Every registered authorisation text, oldest first."""
        return await self._read(texts.texts)

    async def text(self, name: str) -> bytes | None:
        """A registered text itself."""
        return await self._read(texts.text_of, name)

    async def request_by_token(self, token_hash: str) -> StoredRequest | None:
        """The consent request behind a link (SHA-256 of its token in hex). Raises KeysUnavailable."""
        return await self._read(requests.by_token, token_hash, self._vault, utc_text(self._clock()))

    async def request(self, request_id: str) -> StoredRequest | None:
        """Raises KeysUnavailable."""
        return await self._read(requests.by_id, request_id, self._vault, utc_text(self._clock()))

    async def act(self, request_id: str) -> bytes | None:
        """The signed record of the act by which a request was given (JWS), or None. Raises KeysUnavailable."""
        return await self._read(requests.act_of, request_id, self._vault)

    async def uses_of(self, consent_id: str) -> list[Use]:
        """What was done and what was refused under a consent, oldest first, as the log tells it."""
        return await self._read(uses_of, consent_id, self._vault)

    async def earlier(self, leave: Leave, since: str, wanted: frozenset[Way], fits: Fits) -> dict[Way, Kept]:
        """Answers that earlier profiles brought under the same leave (consent.reuse.earlier). Raises
        KeysUnavailable."""
        return await self._read(reuse.earlier, leave, since, wanted, fits, self._vault)

    async def profile(self, profile_id: str) -> StoredProfile | None:
        """The newest revision of a profile. Raises KeysUnavailable."""
        return await self._read(reads.profile, profile_id, self._vault)

    async def profile_row(self, profile_id: str) -> ProfileRow | None:
        """Whose the profile is, whether or not its content is still there."""
        return await self._read(profile_row, profile_id)

    async def bundle(self, profile_id: str, row: ProfileRow, jwks: Mapping[str, Any]) -> bytes:
        """The evidence of a profile as one file; ``jwks`` has the public keys that sign profiles, or did. Raises
        KeysUnavailable and LogBroken."""
        return await self._read(bundle, profile_id, row, self._vault, self._ledger.vkey, jwks)

    async def checkpoint(self) -> str:
        """The newest signed checkpoint, also where another process wrote it, with its witnesses' lines."""
        return (await self.signed_head()).note

    async def signed_head(self) -> SignedHead:
        """The newest signed checkpoint and the witnesses that co-signed it."""
        return await self._read(signed_head)

    async def log_keys(self) -> Succession:
        """The keys that the log has had, from its entries."""
        return await self._read(succession)

    async def entries(self, start: int, stop: int) -> list[LogEntry]:
        """Entries ``start`` up to ``stop``, as far as there are any."""
        return await self._read(reads.entries, start, stop)

    async def entries_about(self, consent_id: str) -> list[LogEntry]:
        """Every entry that names the consent, in order."""
        return await self._read(reads.entries_about, consent_id)

    def pseudonym(self, uscc: str) -> str:
        """Whom the log calls so."""
        return self._vault.pseudonym(uscc)

    def officer(self, lender: str, reference: str) -> str:
        """What the log calls the officer of ``lender`` with this staff reference."""
        return self._vault.officer(lender, reference)

    async def search(self, conditions: Conditions, start: int, stop: int, limit: int) -> Found:
        """Entries that meet the conditions, in order (consent.search.search)."""
        return await self._read(search, self._vault, conditions, start, stop, limit)

    async def enterprise(self, subject: str) -> Enterprise | None:
        """Who is behind a pseudonym, as a consent says; None where no consent tells. Raises KeysUnavailable."""
        return await self._read(enterprise_of, self._vault, subject)

    async def applications(self, consents: Collection[str]) -> dict[str, str]:
        """What the consents were given for, as far as their documents open."""
        return await self._read(applications, self._vault, consents)

    async def proofs(self, indexes: Sequence[int]) -> Proven:
        """Where these entries stand under the newest checkpoint."""
        return await self._read(reads.proofs, indexes)

    async def place(self, index: int) -> Issued:
        """Where entry ``index`` stands under the newest checkpoint. Raises InvalidRequest when there is none."""
        return await self._read(reads.place, index)

    async def inclusion(self, index: int, size: int) -> Sequence[bytes]:
        """Proof that entry ``index`` is in the tree of ``size``. Raises InvalidRequest."""
        return await self._read(reads.inclusion, index, size)

    async def consistency(self, old: int, new: int) -> Sequence[bytes]:
        """Proof that the tree of ``new`` begins with the tree of ``old``. Raises InvalidRequest."""
        return await self._read(reads.consistency, old, new)

    async def tile(self, path: str) -> bytes | None:
        """The hash tile at ``L/N[.p/W]``, or None."""
        return await self._read(reads.tile, path)

    async def audit(self) -> list[Flaw]:
        """Every row that is not what the log says it should be."""
        return await self._read(audit, self._vault)

    def log_source(self, head: SignedHead | None = None) -> LogSource:
        """The log for consent.log.tiles.export, up to this head or the newest; its reads block the calling thread."""
        head = head or self._database.read(signed_head)
        return LogSource(self._database.read, head.note, [self.vkey, *head.lines])

    async def _standing(self, consent_id: str) -> str | None:
        return await self._point(reads.consent_standing, consent_id)

    async def _point(self, read: Callable[[Sequence[Any] | None, Vault, datetime], R], consent_id: str) -> R:
        try:
            row = await self._database.point(reads.POINT, **{"id": consent_id, "class": RetentionClass.EVIDENCE.value})
        except (SQLAlchemyError, OSError):
            raise StorageUnavailable(retry_after=5) from None
        return read(row, self._vault, self._clock())

    async def read(self, read: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What a caller reads of tables of its own, all of one moment."""
        return await self._read(read, *args, **kwargs)

    async def _read(self, read: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        def run() -> R:
            try:
                return self._database.transact(read, *args, **kwargs)
            except (SQLAlchemyError, OSError):
                raise StorageUnavailable(retry_after=5) from None

        return await asyncio.get_running_loop().run_in_executor(self._database.reading, run)

    async def _fold(self) -> None:
        # Where somebody still reads the past, what remains there is sealed under a key that is gone.
        with suppress(SQLAlchemyError, OSError):
            await asyncio.get_running_loop().run_in_executor(self._database.reading, self._database.fold)

    async def _sweep(self) -> None:
        while True:
            # Whatever a failed storage, a full queue or one bad row does to a sweep, the next turn tries again.
            with suppress(Exception):
                while await self._journal.submit(Sweep()):
                    pass
                while await self._journal.submit(ExpireRequests()):
                    pass
            await asyncio.sleep(SWEEP_SECONDS)

    async def _anchor(self) -> None:
        while True:
            # Where the folder cannot be written the window grows; the next turn tries again.
            with suppress(KeysUnavailable):
                await asyncio.to_thread(self._remember_head)
            await asyncio.sleep(ANCHOR_SECONDS)

    def _remember_head(self) -> None:
        head = self._journal.head
        if head.size != self._anchored:
            # Another process may have written a later one, which an older one must not take the place of.
            known = None
            with suppress(NoteError, ConfigurationError):
                known = Checkpoint.parse(Note.parse(self._safe.checkpoint() or "").text)
            if known is None or known.origin != self._ledger.origin or known.size <= head.size:
                self._safe.remember(head.checkpoint, self.vkey)
            self._anchored = head.size

    @asynccontextmanager
    async def _running(self) -> AsyncIterator["Evidence"]:
        tasks = []
        try:
            # Before anything is served: what was destroyed is not in a database that was put back.
            await self._journal.submit(BuryAgain(self._safe, OPERATOR))
            await asyncio.to_thread(self._remember_head)
            tasks = [asyncio.create_task(work()) for work in (self._sweep, self.keeper.run, self._anchor)]
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._journal.close()
            with suppress(KeysUnavailable):
                self._remember_head()


@asynccontextmanager
async def open_evidence(
    place: Path | str,
    *,
    safe: Safe,
    pseudonym_key: bytes,
    log_key: Ed25519PrivateKey,
    origin: str,
    other_log_keys: Callable[[], Sequence[Ed25519PrivateKey]] = tuple,
    permit_seconds: float = 900,
    clock: Callable[[], datetime] | None = None,
    rules: Rules | None = None,
    resume: bool = False,
    tables: Callable[[Connection], None] = metadata.create_all,
) -> AsyncIterator[Evidence]:
    """Open (or create) the evidence in one SQLite file or in the PostgreSQL database at a URL, and sweep orphaned
    permits while it is open.

    ``safe`` is what lies outside the database; ``pseudonym_key`` is 32 bytes; ``origin`` names the log for good.
    ``permit_seconds`` is how long a permit lasts; ``other_log_keys`` is asked where the stored head is signed by
    another key than ``log_key``, for another process may have changed it. ``clock`` gives the time of everything;
    without it that of what is durable is the database's, so that all processes have one (SQLite has none and takes the
    machine's), and the machine's for the rest. ``rules`` say what is destroyed when; ``resume`` lets a log of another
    ``origin`` go on from a database that is older than what was signed. ``tables`` makes the tables that are missing,
    or sees that none is.
    Raises KeysUnavailable under another key-encryption key, LogBroken where the stored head does not hold together or
    is of another key, ConfigurationError where the log has another origin, LogBehind where it is older than the head in
    ``safe``, and StorageUnavailable.
    """
    database, ledger, vault = open_store(place), Ledger(origin, log_key, other_log_keys), Vault(safe, pseudonym_key)
    now = clock or _utc_now
    new_batch = partial(Batch, vault=vault, permit_validity=timedelta(seconds=permit_seconds))
    try:
        make = partial(prepare, database, ledger, vault, safe, now(), tables=tables, resume=resume)
        await asyncio.get_running_loop().run_in_executor(database.writing, make)
        journal = Journal(database, ledger, new_batch, clock)
        await journal.open()
        async with Evidence(database, ledger, vault, journal, now, safe, rules or Rules())._running() as evidence:
            yield evidence
    finally:
        await database.close()
