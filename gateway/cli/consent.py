"""``xinqiao consent``: grant, amend, list, show, revoke, history, and the authorisation texts."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from consent.amendments import AmendConsent
from consent.consents import ChangeConsent
from consent.text_rows import PAGE
from consent.texts import RegisterText
from gateway import receipts
from gateway.cli.shared import AsJson, print_json, print_table, read_file, run, say, write
from gateway.services import Services
from gateway.signers import grant_command
from schemas.base import first_flaw
from schemas.consent import Consent, ConsentGrant, ConsentState
from schemas.errors import ConsentMissing, InvalidRequest, NotFound

app = typer.Typer(help="授权 Consents of enterprises.", no_args_is_help=True)
text = typer.Typer(help="授权文本 Versions of authorisation texts.", no_args_is_help=True)
app.add_typer(text, name="text")

OPERATOR = "operator"


def _show(consent: Consent) -> None:
    print_table(
        f"授权 {consent.id}",
        ["项 item", "值 value"],
        [
            ["状态 state", consent.state.value],
            ["企业 enterprise", f"{consent.subject.name} {consent.subject.uscc}"],
            ["被授权人 grantee", consent.grantee],
            ["用途 purpose", f"{consent.purpose} ({consent.application})"],
            ["有效 valid", f"{consent.valid_from} – {consent.valid_to}"],
            ["已用 uses", f"{consent.uses} / {consent.max_uses or '∞'}"],
            ["回溯 look-back", f"{consent.lookback_months} months"],
            ["可信度 assurance", consent.assurance.value],
            ["授权文本 text", f"{consent.text_version}{'' if consent.text_registered else ' (未登记 not registered)'}"],
            *(["变更自 amends", other] for other in consent.amends),
            *([f"{s.platform}", f"{s.dataset}: {', '.join(s.fields)}"] for s in consent.scopes),
        ],
    )


async def _found(services: Services, consent_id: str) -> Consent:
    consent = await services.evidence.consent(consent_id)
    if consent is None:
        raise ConsentMissing
    return consent


def _read_grant(file: Path) -> ConsentGrant:
    try:
        return ConsentGrant.model_validate_json(read_file(file))
    except ValidationError as error:
        at, mend = first_flaw(error)
        raise InvalidRequest(at=at, mend=mend) from None


@app.command()
def grant(file: Path, as_json: AsJson = False) -> None:
    """登记 Register the consent that FILE (JSON, see `xinqiao schema consent-grant`) describes."""
    record = _read_grant(file)

    async def work(services: Services) -> Consent:
        return await services.evidence.submit(grant_command(services.settings, record, OPERATOR))

    consent = run(work)
    print_json(consent.model_dump(mode="json")) if as_json else _show(consent)


@app.command()
def amend(consent_id: str, file: Path, as_json: AsJson = False) -> None:
    """变更 Register the consent in FILE, newly agreed, in the place of another."""
    record = _read_grant(file)

    async def work(services: Services) -> Consent:
        consent = await _found(services, consent_id)
        return await services.evidence.change_consent(
            AmendConsent(consent.id, grant_command(services.settings, record, OPERATOR))
        )

    consent = run(work)
    print_json(consent.model_dump(mode="json")) if as_json else _show(consent)


class TextLanguage(StrEnum):
    ZH = "zh"
    EN = "en"


@text.command("add")
def text_add(
    file: Path,
    text_id: Annotated[str, typer.Option("--id", help="Small letters, digits and _.")],
    version: Annotated[str, typer.Option(help="Small letters, digits, _ and dots.")],
    lang: Annotated[TextLanguage, typer.Option(help="The language it is in.")] = TextLanguage.ZH,
    as_json: AsJson = False,
) -> None:
    """登记 Register the text in FILE; a consent names it by `ID-VERSION-LANG`."""
    if text_id == PAGE:
        raise InvalidRequest(at="id", mend="another id: this one is the authorisation page's own")
    command = RegisterText(text_id, version, lang.value, read_file(file), OPERATOR)
    made = run(lambda services: services.evidence.submit(command))
    print_json(made.model_dump(mode="json")) if as_json else write(f"{made.name} {made.sha256}")


@text.command("list")
def text_list(as_json: AsJson = False) -> None:
    """列出 Every registered text, oldest first."""
    found = [one.model_dump(mode="json") for one in run(lambda services: services.evidence.texts())]
    if as_json:
        print_json(found)
    else:
        columns = ["文本 text", "语言", "SHA-256", "登记时间"]
        print_table("授权文本 texts", columns, [list(one.values()) for one in found])


@text.command("show")
def text_show(name: str) -> None:
    """查看 The text itself."""
    content = run(lambda services: services.evidence.text(name))
    if content is None:
        raise NotFound(what="text")
    write(content.decode(), end="")


@app.command("list")
def list_(
    lender: Annotated[str | None, typer.Option(help="Only this grantee's.")] = None, as_json: AsJson = False
) -> None:
    """列出 List consents."""
    found = run(lambda services: services.evidence.consents_of(lender))
    if as_json:
        print_json([c.model_dump(mode="json") for c in found])
    else:
        rows = [
            [c.id, c.state.value, c.subject.name, c.grantee, c.purpose, f"{c.uses}/{c.max_uses or '∞'}"] for c in found
        ]
        print_table("授权 consents", ["id", "状态", "企业", "被授权人", "用途", "已用"], rows)


@app.command()
def show(consent_id: str, as_json: AsJson = False) -> None:
    """查看 Show one consent."""
    consent = run(lambda services: _found(services, consent_id))
    print_json(consent.model_dump(mode="json")) if as_json else _show(consent)


@app.command()
def revoke(
    consent_id: str,
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")],
    as_json: AsJson = False,
) -> None:
    """撤回 Withdraw; no call under this consent starts after this command has ended."""

    async def work(services: Services) -> Consent:
        consent = await _found(services, consent_id)
        return await services.evidence.change_consent(
            ChangeConsent(consent.id, ConsentState.REVOKED, actor=OPERATOR, reason=reason)
        )

    consent = run(work)
    if as_json:
        print_json(consent.model_dump(mode="json"))
    else:
        say(f"已撤回 revoked: {consent.id}")


@app.command()
def receipt(consent_id: str, as_json: AsJson = False) -> None:
    """回执 The signed receipt (JWS) of a consent as it stands now; --json prints what it holds."""

    async def work(services: Services) -> bytes:
        return await receipts.receipt(services, await _found(services, consent_id))

    made = run(work)
    write((receipts.opened(made) if as_json else made).decode())


@app.command()
def history(consent_id: str, as_json: AsJson = False) -> None:
    """历史 Every state, oldest first."""

    async def work(services: Services) -> list[dict[str, object]]:
        await _found(services, consent_id)
        return [c.model_dump(mode="json") for c in await services.evidence.consent_history(consent_id)]

    found = run(work)
    if as_json:
        print_json(found)
    else:
        print_table("状态历史 history", ["授权", "状态", "时间", "操作人", "原因"], [list(c.values()) for c in found])
