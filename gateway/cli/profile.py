"""``xinqiao profile``: request, show, evidence, verify."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from gateway.cli.shared import AsJson, plain, print_json, print_table, read_file, run, say, write
from gateway.profile.evidence import export_evidence
from gateway.profile.request import ProfileRequest, SubjectAsk, read_profile, request_profile
from gateway.profile.sign import verify_profile
from gateway.services import Services
from schemas.base import first_flaw
from schemas.errors import ConsentMissing, InvalidRequest, InvalidValue

app = typer.Typer(help="画像 Enterprise credit profiles.", no_args_is_help=True)

_COLOURS = {
    "present": "green",
    "empty_confirmed": "green",
    "stale": "yellow",
    "partial": "yellow",
    "pending": "yellow",
    "unavailable": "red",
    "denied": "red",
}


def _with_unit(value: dict[str, Any]) -> str:
    unit = value.get("unit")
    return f"{value['value']} {unit}" if unit and unit != "1" else str(value["value"])


def print_profile(profile: dict[str, Any]) -> None:
    """Sections, findings and indicators as tables."""
    console = Console()
    done = profile["completeness"]
    console.print(
        f"[bold]{plain(profile['subject']['name'])}[/bold]  {profile['subject']['uscc']}\n"
        f"画像 {profile['id']} · 授权 {profile['consent_id']} ({profile['consent_assurance']}) · "
        f"完整性 {done['answered']}/{done['asked']}",
        highlight=False,
        soft_wrap=True,
    )
    sections = Table(title="数据集 sections", title_justify="left")
    for column in ("数据集", "状态", "截至", "要点"):
        sections.add_column(column, overflow="fold")
    for name, section in profile["sections"].items():
        if section["state"] == "not_requested":
            continue
        colour = _COLOURS.get(section["state"], "white")
        points = "\n".join(f"{k} {_with_unit(v)}" for k, v in list(section["values"].items())[:3])
        state = section["state"] + (f" ({section['reason']})" if section["reason"] else "")
        sections.add_row(name, f"[{colour}]{state}[/{colour}]", section["as_of"] or "", plain(points))
    console.print(sections)
    findings = Table(title="核验结果 findings", title_justify="left")
    for column in ("规则", "结论", "程度", "说明"):
        findings.add_column(column, overflow="fold")
    for finding in profile["findings"]:
        colour = {"conflict": "red", "consistent": "green"}.get(finding["outcome"], "white")
        message = f"{finding['message']['zh']}\n{finding['message']['en']}"
        findings.add_row(finding["rule"], f"[{colour}]{finding['outcome']}[/{colour}]", finding["severity"], message)
    console.print(findings)
    indicators = Table(title="指标 indicators", title_justify="left")
    for column in ("指标", "值", "说明"):
        indicators.add_column(column, overflow="fold")
    for one in profile["indicators"]:
        value = "未知 unknown" if one["value"] is None else _with_unit(one)
        indicators.add_row(one["name"], value, one["message"]["zh"])
    console.print(indicators)
    if "log" in profile:
        console.print(f"证据日志 log entry {profile['log']['index']}", highlight=False)


@app.command()
def request(
    uscc: Annotated[str, typer.Option(help="统一社会信用代码")],
    consent: Annotated[str, typer.Option(help="授权编号 consent id")],
    dataset: Annotated[list[str] | None, typer.Option(help="Only these data sets.")] = None,
    as_json: AsJson = False,
) -> None:
    """申请 Request a profile under a consent, as the lender that it names."""

    async def work(services: Services) -> bytes:
        found = await services.evidence.consent(consent)
        if found is None:
            raise ConsentMissing
        try:
            ask = ProfileRequest(
                subject=SubjectAsk(uscc=uscc, name=found.subject.name),
                consent_id=consent,
                purpose=found.purpose,
                datasets=dataset or None,
            )
        except ValidationError as error:
            at, mend = first_flaw(error)
            raise InvalidRequest(at=at, mend=mend) from None
        body = ask.model_dump_json().encode()
        issued = await request_profile(services, found.grantee, ask, body=body, idempotency_key=None, wait=None)
        return issued.json_bytes()

    profile = orjson.loads(run(work))
    print_json(profile) if as_json else print_profile(profile)


@app.command()
def show(
    profile_id: str,
    jws: Annotated[bool, typer.Option("--jws", help="The signed form.")] = False,
    timeline: Annotated[bool, typer.Option("--timeline", help="时间线 What was tried at each source.")] = False,
    as_json: AsJson = False,
) -> None:
    """查看 Read an issued profile again; the reading is an entry of the log."""

    async def work(services: Services) -> tuple[bytes, bytes]:
        found = await read_profile(services, profile_id, None)
        return found.jws, found.json_bytes()

    signed, plain = run(work)
    if jws:
        write(signed.decode())
    elif timeline:
        steps = _steps(orjson.loads(plain))
        columns = ["来源 source", "时间 at", "动作 what", "结果 outcome", "次数 times", "下次 next"]
        print_json(steps) if as_json else print_table(profile_id, columns, [[*map(str, s.values())] for s in steps])
    elif as_json:
        print_json(orjson.loads(plain))
    else:
        print_profile(orjson.loads(plain))


def _steps(profile: dict[str, Any]) -> list[dict[str, Any]]:
    """The time-lines of all sources as one list; what comes next stands at each source's last step."""
    return [
        {"source": f"{source['platform']}/{source['dataset']}", **step}
        | {"next": (source["next_attempt_at"] or "") if number == len(source["timeline"]) else ""}
        for source in profile["sources"]
        for number, step in enumerate(source["timeline"], 1)
    ]


@app.command()
def evidence(
    profile_id: str,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write, a ZIP file.")],
) -> None:
    """证据 Write the evidence of a profile to one file that is verified offline; the export is an entry of the log."""
    bundle = run(lambda services: export_evidence(services, profile_id, None))
    try:
        output.write_bytes(bundle)
    except OSError:
        raise InvalidRequest(at="output", mend="the file cannot be written") from None
    say(f"已导出证据 evidence written: {output}")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A profile as JWS (compact).")],
    jwks: Annotated[Path, typer.Option(help="The gateway's public keys, from elsewhere.")],
    as_json: AsJson = False,
) -> None:
    """核验 Check a profile's signature with keys from elsewhere; exit status 1 when it does not hold."""
    try:
        keys = orjson.loads(read_file(jwks))
    except orjson.JSONDecodeError:
        raise InvalidRequest(at="jwks", mend="a JWKS as JSON") from None
    try:
        payload = verify_profile(read_file(file).decode("utf-8", "replace").strip(), keys)
    except InvalidValue:
        say("签名无效 the signature does not hold")
        raise typer.Exit(1) from None
    if as_json:
        print_json(payload)
    else:
        say("签名有效 the signature holds")
        print_profile(payload)
