"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "consents",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("grantee", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("registered_at", sa.String(length=35), nullable=False),
        sa.Column("valid_to", sa.String(length=35), nullable=False),
        sa.Column("retention_days", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("last_permit", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        postgresql_with={"fillfactor": 50},
        if_not_exists=True,
    )
    op.create_index("ix_consents_grantee", "consents", ["grantee"], unique=False, if_not_exists=True)
    op.create_index("ix_consents_subject", "consents", ["subject"], unique=False, if_not_exists=True)
    op.create_table(
        "consent_documents",
        sa.Column("consent_id", sa.String(length=200), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["consent_id"], ["consents.id"]),
        sa.PrimaryKeyConstraint("consent_id"),
        if_not_exists=True,
    )
    op.create_table(
        "consent_texts",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("registered_at", sa.String(length=35), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        if_not_exists=True,
    )
    op.create_table(
        "keyring",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("oldest", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.String(length=35), nullable=False),
        sa.Column("shreddings", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("one"),
        if_not_exists=True,
    )
    op.create_table(
        "holds",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("consent_id", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("placed_at", sa.String(length=35), nullable=False),
        sa.Column("released_at", sa.String(length=35), nullable=True),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["consent_id"], ["consents.id"]),
        sa.PrimaryKeyConstraint("id"),
        if_not_exists=True,
    )
    op.create_index("ix_holds_consent_id", "holds", ["consent_id"], unique=False, if_not_exists=True)
    op.create_index("ix_holds_subject", "holds", ["subject"], unique=False, if_not_exists=True)
    op.create_table(
        "log_cosignatures",
        sa.Column("witness", sa.String(length=400), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("witness"),
        if_not_exists=True,
    )
    op.create_table(
        "log_entries",
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("time", sa.String(length=35), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("consent", sa.String(length=200), nullable=True),
        sa.Column("subject", sa.String(length=64), nullable=True),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        if_not_exists=True,
    )
    op.create_index("log_entries_by_actor", "log_entries", ["actor", "position"], unique=False, if_not_exists=True)
    op.create_index(
        "log_rare_events",
        "log_entries",
        ["event", "position"],
        unique=False,
        sqlite_where=sa.text("event NOT IN ('permit.granted', 'profile.issued')"),
        postgresql_where=sa.text("event NOT IN ('permit.granted', 'profile.issued')"),
        if_not_exists=True,
    )
    op.create_index(
        "log_rare_events_by_consent",
        "log_entries",
        ["consent"],
        unique=False,
        sqlite_where=sa.text("event NOT IN ('permit.granted', 'profile.issued')"),
        postgresql_where=sa.text("event NOT IN ('permit.granted', 'profile.issued')"),
        if_not_exists=True,
    )
    op.create_index(
        "log_rare_events_by_subject",
        "log_entries",
        ["subject"],
        unique=False,
        sqlite_where=sa.text("event NOT IN ('permit.granted', 'profile.issued')"),
        postgresql_where=sa.text("event NOT IN ('permit.granted', 'profile.issued')"),
        if_not_exists=True,
    )
    op.create_index(
        "log_key_rotations",
        "log_entries",
        ["position"],
        unique=False,
        sqlite_where=sa.text("event = 'log.rekeyed'"),
        postgresql_where=sa.text("event = 'log.rekeyed'"),
        if_not_exists=True,
    )
    op.create_table(
        "log_timestamps",
        sa.Column("size", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("time", sa.String(length=35), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("reply", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("size"),
        if_not_exists=True,
    )
    op.create_table(
        "log_head",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("range", sa.LargeBinary(), nullable=False),
        sa.Column("checkpoint", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("one"),
        if_not_exists=True,
    )
    op.create_table(
        "log_tiles",
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "number"),
        if_not_exists=True,
    )
    op.create_table(
        "sealed",
        sa.Column("id", sa.String(length=400), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("class", sa.String(length=16), nullable=False),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("commitment", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        if_not_exists=True,
    )
    op.create_index("ix_sealed_subject", "sealed", ["subject"], unique=False, if_not_exists=True)
    op.create_table(
        "subject_keys",
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("class", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "class", "version"),
        if_not_exists=True,
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("lender", sa.String(length=64), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.String(length=35), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("old_secret", sa.LargeBinary(), nullable=True),
        sa.Column("old_until", sa.String(length=35), nullable=True),
        sa.Column("leased_by", sa.String(length=64), nullable=True),
        sa.Column("leased_until", sa.String(length=35), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        if_not_exists=True,
    )
    op.create_index("ix_webhooks_lender", "webhooks", ["lender"], unique=False, if_not_exists=True)
    op.create_table(
        "consent_requests",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("lender", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("expires_at", sa.String(length=35), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("consent_id", sa.String(length=200), nullable=True),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["consent_id"], ["consents.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token_hash"),
        if_not_exists=True,
    )
    op.create_index(
        "requests_open",
        "consent_requests",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
        if_not_exists=True,
    )
    op.create_table(
        "consent_status",
        sa.Column("consent_id", sa.String(length=200), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("at", sa.String(length=35), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.LargeBinary(), nullable=True),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["consent_id"], ["consents.id"]),
        sa.PrimaryKeyConstraint("consent_id", "version"),
        if_not_exists=True,
    )
    op.create_table(
        "permits",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("consent_id", sa.String(length=200), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("lender", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("granted_at", sa.String(length=35), nullable=False),
        sa.Column("valid_until", sa.String(length=35), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column("before", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.String(length=64), nullable=False),
        sa.Column("closed_at", sa.String(length=35), nullable=True),
        sa.Column("profile_id", sa.String(length=200), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["consent_id"], ["consents.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("log_index"),
        if_not_exists=True,
    )
    op.create_index(
        "permits_open",
        "permits",
        ["valid_until"],
        unique=False,
        sqlite_where=sa.text("outcome = 'open'"),
        postgresql_where=sa.text("outcome = 'open'"),
        if_not_exists=True,
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("webhook", sa.String(length=200), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("message", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("consent", sa.String(length=200), nullable=True),
        sa.Column("subject", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.String(length=35), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("attempted_at", sa.String(length=35), nullable=True),
        sa.Column("due", sa.String(length=35), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["webhook"], ["webhooks.id"]),
        sa.PrimaryKeyConstraint("webhook", "position"),
        if_not_exists=True,
    )
    op.create_index(
        "webhook_deliveries_due",
        "webhook_deliveries",
        ["due"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
        if_not_exists=True,
    )
    op.create_table(
        "idempotency",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("lender", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("permit_id", sa.String(length=200), nullable=False),
        sa.Column("expires", sa.String(length=35), nullable=False),
        sa.ForeignKeyConstraint(["permit_id"], ["permits.id"]),
        sa.PrimaryKeyConstraint("key", "lender"),
        if_not_exists=True,
    )
    op.create_index("ix_idempotency_expires", "idempotency", ["expires"], unique=False, if_not_exists=True)
    op.create_table(
        "profiles",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("permit_id", sa.String(length=200), nullable=False),
        sa.Column("lender", sa.String(length=64), nullable=False),
        sa.Column("consent_id", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column("issued_at", sa.String(length=35), nullable=False),
        sa.ForeignKeyConstraint(["consent_id"], ["consents.id"]),
        sa.ForeignKeyConstraint(["permit_id"], ["permits.id"]),
        sa.PrimaryKeyConstraint("id", "revision"),
        if_not_exists=True,
    )
    op.create_table(
        "tickets",
        sa.Column("permit_id", sa.String(length=200), nullable=False),
        sa.Column("place", sa.String(length=200), nullable=False),
        sa.Column("ticket", sa.LargeBinary(), nullable=False),
        sa.Column("valid_until", sa.String(length=35), nullable=False),
        sa.ForeignKeyConstraint(["permit_id"], ["permits.id"]),
        sa.PrimaryKeyConstraint("permit_id", "place"),
        if_not_exists=True,
    )
    op.create_index("ix_tickets_valid_until", "tickets", ["valid_until"], unique=False, if_not_exists=True)
    op.create_table(
        "late_profiles",
        sa.Column("permit_id", sa.String(length=200), nullable=False),
        sa.Column("work", sa.LargeBinary(), nullable=False),
        sa.Column("due", sa.String(length=35), nullable=False),
        sa.Column("valid_until", sa.String(length=35), nullable=False),
        sa.Column("leased_by", sa.String(length=64), nullable=True),
        sa.Column("leased_until", sa.String(length=35), nullable=True),
        sa.ForeignKeyConstraint(["permit_id"], ["permits.id"]),
        sa.PrimaryKeyConstraint("permit_id"),
        if_not_exists=True,
    )
    op.create_index("ix_late_profiles_due", "late_profiles", ["due"], unique=False, if_not_exists=True)
    op.create_table(
        "callbacks",
        sa.Column("ticket_key", sa.String(length=64), nullable=False),
        sa.Column("permit_id", sa.String(length=200), nullable=False),
        sa.Column("place", sa.String(length=200), nullable=False),
        sa.Column("expects", sa.LargeBinary(), nullable=True),
        sa.Column("until", sa.String(length=35), nullable=True),
        sa.Column("content", sa.String(length=64), nullable=True),
        sa.Column("arrived", sa.LargeBinary(), nullable=True),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.Column("valid_until", sa.String(length=35), nullable=False),
        sa.ForeignKeyConstraint(["permit_id"], ["permits.id"]),
        sa.PrimaryKeyConstraint("ticket_key"),
        if_not_exists=True,
    )
    op.create_index("ix_callbacks_permit_id", "callbacks", ["permit_id"], unique=False, if_not_exists=True)
    op.create_index("ix_callbacks_valid_until", "callbacks", ["valid_until"], unique=False, if_not_exists=True)
    op.create_table(
        "callback_nonces",
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("until", sa.String(length=35), nullable=False),
        sa.PrimaryKeyConstraint("nonce"),
        if_not_exists=True,
    )
    op.create_index("ix_callback_nonces_until", "callback_nonces", ["until"], unique=False, if_not_exists=True)
    op.create_table(
        "platform_quotas",
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("platform", "day"),
        if_not_exists=True,
    )
    op.create_table(
        "processes",
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("seen_at", sa.String(length=35), nullable=False),
        sa.PrimaryKeyConstraint("holder"),
        if_not_exists=True,
    )
    op.create_table(
        "platform_reports",
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("reported_at", sa.String(length=35), nullable=False),
        sa.Column("open_until", sa.String(length=35), nullable=True),
        sa.Column("counted", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("holder", "platform"),
        if_not_exists=True,
    )
