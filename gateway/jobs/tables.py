"""What of a profile is still to come. Times are UTC text of one width, so they sort as text."""

from sqlalchemy import Boolean, Column, ForeignKey, Integer, LargeBinary, String, Table, Text

from consent.tables import metadata

tickets = Table(
    "tickets",
    metadata,
    Column("permit_id", ForeignKey("permits.id"), primary_key=True),
    Column("place", String(200), primary_key=True),  # platform, data set and, where each has its own, month
    Column("ticket", LargeBinary, nullable=False),  # sealed
    Column("valid_until", String(35), nullable=False, index=True),
)

platform_quotas = Table(
    "platform_quotas",
    metadata,
    Column("platform", String(64), primary_key=True),
    Column("day", String(10), primary_key=True),  # of Asia/Shanghai
    Column("used", Integer, nullable=False),
)

processes = Table(
    "processes",
    metadata,
    Column("holder", String(64), primary_key=True),
    Column("seen_at", String(35), nullable=False),
)

platform_reports = Table(
    "platform_reports",
    metadata,
    Column("holder", String(64), primary_key=True),  # the process
    Column("platform", String(64), primary_key=True),
    Column("reported_at", String(35), nullable=False),
    Column("open_until", String(35)),  # until when it sends nothing
    Column("counted", Text, nullable=False),  # gateway.jobs.health.Minutes, as JSON
)

callbacks = Table(
    "callbacks",
    metadata,
    Column("ticket_key", String(64), primary_key=True),  # SHA-256 of the ticket in the address
    Column("permit_id", ForeignKey("permits.id"), nullable=False, index=True),
    Column("place", String(200), nullable=False),  # platform and data set
    Column("expects", LargeBinary),  # what the reply to the submit said, sealed; none is taken before
    Column("until", String(35)),
    Column("content", String(64)),  # commitment to what came
    Column("arrived", LargeBinary),  # what came, sealed, until the profile has it
    Column("told", Boolean, nullable=False),  # whether the log says that something was refused
    Column("valid_until", String(35), nullable=False, index=True),
)

callback_nonces = Table(
    "callback_nonces",
    metadata,
    Column("nonce", String(64), primary_key=True),  # SHA-256 of the platform and its nonce
    Column("until", String(35), nullable=False, index=True),
)

late_profiles = Table(
    "late_profiles",
    metadata,
    Column("permit_id", ForeignKey("permits.id"), primary_key=True),
    Column("work", LargeBinary, nullable=False),  # gateway.profile.carried, sealed
    Column("due", String(35), nullable=False, index=True),
    Column("valid_until", String(35), nullable=False),
    Column("leased_by", String(64)),  # the process that asks again now
    Column("leased_until", String(35)),
)
