"""``xinqiao connectors``: list, show, off, on, new, test, fetch, record, sign."""

from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.engine.connector import DeclarativeConnector
from connectors.engine.tuning import AS_STATED
from connectors.kit.suite import suite
from connectors.registry import BUILT_IN
from gateway.cli.fetch import fetch, loaded
from gateway.cli.record import record_
from gateway.cli.shared import AsJson, print_json, print_table, run, say
from gateway.cli.sign import sign
from gateway.cli.workbench import new
from gateway.jobs.standing import standing
from gateway.services import Services, switches_folder
from schemas.errors import InvalidRequest

app = typer.Typer(help="连接器 Connectors to platforms.", no_args_is_help=True)


def _folder(name: str) -> Path:
    """A folder, or the id of a connector of the catalogue."""
    for folder in (Path(name), BUILT_IN / name):
        if folder.is_dir():
            return folder
    built_in = sorted(folder.parent.name for folder in BUILT_IN.glob("*/manifest.toml"))
    raise InvalidRequest(at="connector", mend="a folder, or one of " + ", ".join(built_in))


@app.command("list")
def list_(
    health: Annotated[bool, typer.Option("--health", help="状况 How each did in the last 30 minutes.")] = False,
    as_json: AsJson = False,
) -> None:
    """列出 Connectors that the settings load, with their data sets, or with how they are doing."""
    if health:
        _show_health(as_json)
        return

    async def work(services: Services) -> list[dict[str, Any]]:
        return [
            {
                "id": c.id,
                "version": c.version,
                "assurance": c.assurance,
                "off": c.id in services.connectors.switches.off,
                "datasets": sorted(c.datasets),
            }
            for c in services.connectors.values()
        ]

    found = run(work)
    if as_json:
        print_json(found)
    else:
        rows = [
            [c["id"], "停用 off" if c["off"] else "", c["version"], c["assurance"], ", ".join(c["datasets"])]
            for c in found
        ]
        print_table("连接器 connectors", ["id", "状态", "版本", "依据 assurance", "数据集"], rows)
        if not found:
            say("设置中没有平台凭证 no platform of the settings has its credentials: docs/settings.md")


def _show_health(as_json: bool) -> None:
    async def work(services: Services) -> list[dict[str, Any]]:
        of = await standing(services)
        return [
            {
                "id": c.id,
                "version": c.version,
                "fetches": stands.summary.fetches,
                "success_share": None if stands.summary.share is None else str(stands.summary.share),
                "p50_ms": stands.summary.p50,
                "breaker": stands.breaker,
                "quota_left": stands.quota_left,
                "next_attempt_at": stands.next_attempt_at,
            }
            for c in services.connectors.values()
            for stands in (of(c),)
        ]

    found = run(work)
    if as_json:
        print_json(found)
    else:
        columns = ["id", "版本", "次数 fetches", "成功率 share", "p50 ms", "熔断 breaker", "余额 quota", "下次 next"]
        print_table("近 30 分钟 the last 30 minutes", columns, [_cells(one) for one in found])


def _cell(value: object) -> str:
    return "—" if value in (None, []) else ", ".join(value) if isinstance(value, list) else str(value)


def _cells(one: dict[str, Any]) -> list[str]:
    return [_cell(value) for value in one.values()]


@app.command()
def show(connector: str, as_json: AsJson = False) -> None:
    """查看 One connector: its data sets with the canonical fields they can give, and by which rules it is asked."""

    async def work(services: Services) -> dict[str, Any]:
        held, strategy = loaded(services, connector), services.strategy
        found: dict[str, Any] = {
            "id": held.id,
            "datasets": {name: sorted(fields) for name, fields in held.datasets.items()},
            "required": held.id not in strategy.optional,
            "weight": strategy.weights.get(held.id, 1),
        }
        if isinstance(held, DeclarativeConnector):
            stated, in_force = held.manifest.limits.model_dump(), held.limits.model_dump()
            found["limits"] = {"manifest": stated, "in_force": in_force}
            found["freshness"] = {"manifest": AS_STATED.freshness_of(held.manifest), "in_force": held.freshness}
        return found

    found = run(work)
    if as_json:
        print_json(found)
        return
    print_table(
        connector, ["数据集", "字段"], [[name, ", ".join(fields)] for name, fields in found["datasets"].items()]
    )
    rules = [["必需 required", "", found["required"]], ["权重 weight", "", found["weight"]]]
    for kind in ("limits", "freshness"):
        both = found.get(kind, {"manifest": {}, "in_force": {}})
        rules += [
            [f"{kind}.{key}", _cell(stated), _cell(both["in_force"][key])] for key, stated in both["manifest"].items()
        ]
    print_table("规则 rules", ["项", "平台说明 manifest", "现行 in force"], rules)


def _switch(connector: str) -> Path:
    """The file that is the switch; the id is one that the settings load."""

    async def work(services: Services) -> Path:
        held = loaded(services, connector)
        return switches_folder(services.settings) / held.id

    return run(work)


@app.command()
def off(
    connector: str, reason: Annotated[str, typer.Option(help="为什么停用, for who looks after the gateway.")]
) -> None:
    """停用 No call to this platform starts any more, in every gateway on this data folder, within a second or two."""
    file = _switch(connector)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.write_text(reason + "\n", "utf-8")


@app.command()
def on(connector: str) -> None:
    """启用 The platform is asked again."""
    _switch(connector).unlink(missing_ok=True)


@app.command("test")
def run_suite(
    connector: Annotated[str, typer.Argument(help="A folder, or a built-in id.")], as_json: AsJson = False
) -> None:
    """检验 Fixtures, faults over real sockets, drift, logs, speed, checklist; exit status 1 when anything fails."""
    results = suite(_folder(connector))
    if as_json:
        print_json([{"name": r.name, "ok": r.ok, "why": r.why} for r in results])
    else:
        rows = [["通过 ok" if r.ok else "失败 failed", r.name, r.why] for r in results]
        print_table(connector, ["结果", "项 check", "原因 why"], rows)
    if not all(r.ok for r in results):
        raise typer.Exit(1)


app.command()(fetch)
app.command()(new)
app.command("record")(record_)
app.command()(sign)
