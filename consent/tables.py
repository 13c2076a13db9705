"""The tables behind consents, permits, profiles and the log. Times are UTC text of one width, so they sort as text."""

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData()

consents = Table(
    "consents",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("grantee", String(64), nullable=False, index=True),
    Column("subject", String(64), nullable=False, index=True),
    Column("digest", LargeBinary, nullable=False),  # SHA-256 of the sealed document; empty: destroyed
    Column("registered_at", String(35), nullable=False),
    Column("valid_to", String(35), nullable=False),  # from the document, for what falls due
    Column("retention_days", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),  # of the newest row in consent_status
    Column("uses", Integer, nullable=False),
    Column("last_permit", Integer),  # the log index of its newest permit
    # Every permit counts in its row. Room on the same page keeps the new version out of all three indexes.
    postgresql_with={"fillfactor": 50},
)

# Apart from the row that every permit counts in: what never changes is neither read nor written again for a use.
consent_documents = Table(
    "consent_documents",
    metadata,
    Column("consent_id", ForeignKey("consents.id"), primary_key=True),
    Column("document", LargeBinary, nullable=False),  # the grant as canonical JSON, sealed; never changed
)

consent_status = Table(
    "consent_status",
    metadata,
    Column("consent_id", ForeignKey("consents.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("at", String(35), nullable=False),
    Column("actor", String(64), nullable=False),
    Column("reason", LargeBinary),  # sealed
    Column("log_index", Integer, nullable=False),
)

consent_texts = Table(
    "consent_texts",
    metadata,
    Column("name", String(200), primary_key=True),  # what a consent calls text_version
    Column("language", String(8), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("registered_at", String(35), nullable=False),
    Column("log_index", Integer, nullable=False),
)

permits = Table(
    "permits",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("consent_id", ForeignKey("consents.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("lender", String(64), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("granted_at", String(35), nullable=False),
    Column("valid_until", String(35), nullable=False),
    Column("log_index", Integer, nullable=False, unique=True),
    Column("before", Integer),  # that of the permit before it under the same consent
    Column("outcome", String(64), nullable=False),  # open, issued, or the code of the failure
    Column("closed_at", String(35)),
    Column("profile_id", String(200)),
    Column("revision", Integer, nullable=False),  # of the newest profile, 0 before the first
    Index(
        "permits_open",
        "valid_until",
        sqlite_where=text("outcome = 'open'"),
        postgresql_where=text("outcome = 'open'"),
    ),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("lender", String(64), primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("permit_id", ForeignKey("permits.id"), nullable=False),
    Column("expires", String(35), nullable=False, index=True),
)

profiles = Table(
    "profiles",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("permit_id", ForeignKey("permits.id"), nullable=False),
    Column("lender", String(64), nullable=False),
    Column("consent_id", ForeignKey("consents.id"), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("log_index", Integer, nullable=False),
    Column("issued_at", String(35), nullable=False),
)

sealed = Table(
    "sealed",
    metadata,
    Column("id", String(400), primary_key=True),  # entry id and payload name
    Column("kind", String(32), nullable=False),  # profile, reply, items, sources, part, hold
    Column("subject", String(64), nullable=False, index=True),
    Column("class", String(16), nullable=False),
    Column("key_version", Integer, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("commitment", String(64), nullable=False),
)

subject_keys = Table(
    "subject_keys",
    metadata,
    Column("subject", String(64), primary_key=True),
    Column("class", String(16), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("epoch", Integer, nullable=False),  # of the key-encryption key
    Column("wrapped", LargeBinary, nullable=False),  # empty: destroyed; then epoch is the last that could open it
)

keyring = Table(
    "keyring",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Integer, nullable=False),  # under which keys are wrapped now
    Column("oldest", Integer, nullable=False),  # of the epochs whose key-encryption key still exists
    Column("opened_at", String(35), nullable=False),  # of the epoch
    Column("shreddings", Integer, nullable=False),  # how often keys were destroyed: what a process holds is stale then
)

holds = Table(
    "holds",
    metadata,
    Column("id", String(200), primary_key=True),  # of the entry that placed it
    Column("consent_id", ForeignKey("consents.id"), nullable=False, index=True),
    Column("subject", String(64), nullable=False, index=True),
    Column("placed_at", String(35), nullable=False),
    Column("released_at", String(35)),
    Column("log_index", Integer, nullable=False),
)

consent_requests = Table(
    "consent_requests",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),  # SHA-256 of the link's token
    Column("lender", String(64), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("expires_at", String(35), nullable=False),
    Column("tries", Integer, nullable=False),  # answers given to the identity check
    Column("consent_id", ForeignKey("consents.id")),
    Column("log_index", Integer, nullable=False),
    Index(
        "requests_open",
        "expires_at",
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("lender", String(64), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),  # a list of names, as JSON
    Column("state", String(16), nullable=False),
    Column("created_at", String(35), nullable=False),
    Column("position", Integer, nullable=False),  # of the first log entry that it was not yet held against
    Column("secret", LargeBinary, nullable=False),  # sealed
    Column("old_secret", LargeBinary),
    Column("old_until", String(35)),
    Column("leased_by", String(64)),  # the process that sends to it now
    Column("leased_until", String(35)),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("webhook", ForeignKey("webhooks.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),  # of the log entry that it tells of
    Column("message", String(64), nullable=False),
    Column("type", String(32), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("actor", String(64), nullable=False),  # the lender
    Column("consent", String(200)),
    Column("subject", String(64)),
    Column("created_at", String(35), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("attempted_at", String(35)),
    Column("due", String(35)),
    Column("code", String(64)),  # of the last failure
    Index(
        "webhook_deliveries_due",
        "due",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
)

log_entries = Table(
    "log_entries",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=False),
    # 128 random bits, or made of another table's primary key; nothing is looked up by it, so it has no index.
    Column("id", String(200), nullable=False),
    Column("event", String(32), nullable=False),
    Column("time", String(35), nullable=False),
    Column("actor", String(64), nullable=False),
    Column("consent", String(200)),
    Column("subject", String(64)),
    Column("entry", LargeBinary, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    Index("log_entries_by_actor", "actor", "position"),
    # The two events that nearly every entry is of are found by other ways (consent.places); left out, they cost none
    # when written.
    *(
        Index(
            name,
            *columns,
            sqlite_where=text("event NOT IN ('permit.granted', 'profile.issued')"),
            postgresql_where=text("event NOT IN ('permit.granted', 'profile.issued')"),
        )
        for name, *columns in (
            ("log_rare_events", "event", "position"),
            ("log_rare_events_by_consent", "consent"),
            ("log_rare_events_by_subject", "subject"),
        )
    ),
    Index(
        "log_key_rotations",
        "position",
        sqlite_where=text("event = 'log.rekeyed'"),
        postgresql_where=text("event = 'log.rekeyed'"),
    ),
)

log_tiles = Table(
    "log_tiles",
    metadata,
    # The root over one full tile of the level below; level 0 are the leaf hashes in log_entries.
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)

log_cosignatures = Table(
    "log_cosignatures",
    metadata,
    # The newest line of each witness, by its verifier key, and the head that it belongs to.
    Column("witness", String(400), primary_key=True),
    Column("size", Integer, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("line", Text, nullable=False),
)

log_timestamps = Table(
    "log_timestamps",
    metadata,
    Column("size", Integer, primary_key=True, autoincrement=False),  # of the head that was stamped
    Column("time", String(35), nullable=False),  # the authority's
    Column("head", Text, nullable=False),  # as the log signed it
    Column("reply", LargeBinary, nullable=False),  # RFC 3161 TimeStampResp, DER
)

log_head = Table(
    "log_head",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("origin", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("range", LargeBinary, nullable=False),
    Column("checkpoint", Text, nullable=False),
)
