"""``xinqiao consent shred``, ``hold``, ``release`` and ``retention``."""

from dataclasses import asdict
from typing import Annotated

import typer

from consent.holds import PlaceHold, ReleaseHold
from consent.retention import Due
from consent.shredding import Reason, Shredding
from gateway.cli.shared import AsJson, print_json, print_table, run, say
from gateway.services import Services
from schemas.identifiers import parse_uscc

_OPERATOR = "operator"


def add_commands(app: typer.Typer) -> None:
    """Beside the other commands of ``xinqiao consent``."""
    for command in (shred, hold, release, retention):
        app.command()(command)


def shred(
    uscc: Annotated[str, typer.Option(help="Whose profiles and records.")],
    reason: Annotated[Reason, typer.Option(help="Why, one of PIPL 47.")],
    basis: Annotated[str, typer.Option(help="Legal basis, by name; it stands in the log as it is.")],
    now: Annotated[bool, typer.Option("--now", help="End the epoch of the keys at once.")] = False,
    as_json: AsJson = False,
) -> None:
    """销毁 Destroy an enterprise's profiles and records; the proof of its consents stays."""
    code = parse_uscc(uscc).value

    async def work(services: Services) -> Shredding:
        return await services.evidence.keeper.shred(code, reason, basis, now=now)

    done = run(work)
    if as_json:
        print_json({"subject": done.subject, "log_index": done.log_index, "state": done.state})
    else:
        say(f"已销毁 {done.state}, 日志条目 log entry {done.log_index}")


def hold(
    consent_id: str,
    reason: Annotated[str, typer.Option(help="Why; sealed, shown to no one without the keys.")],
) -> None:
    """冻结 Legal hold: nothing of this consent's enterprise is destroyed until it is released."""
    run(lambda services: services.evidence.submit(PlaceHold(consent_id, _OPERATOR, reason)))
    say(f"已冻结 held: {consent_id}")


def release(consent_id: str) -> None:
    """解除冻结 Release the legal hold on a consent."""
    run(lambda services: services.evidence.submit(ReleaseHold(consent_id, _OPERATOR)))
    say(f"已解除 released: {consent_id}")


def retention(as_json: AsJson = False) -> None:
    """保留期限 What is destroyed when, why, and what is held. Not legal advice."""

    async def work(services: Services) -> list[Due]:
        return await services.evidence.keeper.schedule()

    found = sorted(run(work), key=lambda due: due.at)
    if as_json:
        print_json([{**asdict(due), "retention": due.retention.value} for due in found])
        return
    columns = ["时间 at", "类别 class", "主体 subject", "原因 reason", "依据 basis", "冻结 held", "授权 consents"]
    rows = [
        [
            d.at,
            d.retention.value,
            d.subject,
            d.rule.reason.value,
            d.rule.basis,
            "是 yes" if d.held else "",
            len(d.consents),
        ]
        for d in found
    ]
    print_table("保留期限 retention", columns, rows)
