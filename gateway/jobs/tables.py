"""What of a profile is still to come. Times are UTC text of one width, so they sort as text."""

from sqlalchemy import Column, ForeignKey, Integer, LargeBinary, String, Table, Text

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
