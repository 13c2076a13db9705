"""bank-internal: no service on the network but a database and a folder into which another system drops a file a day."""

import csv
import io
import sqlite3
from contextlib import closing
from pathlib import Path

from connectors.sandbox.series import HISTORY, month_of
from connectors.sandbox.support import CUSTOMERS
from connectors.sandbox.views import canonical
from connectors.sandbox.world import World

DATABASE, DROP = "bank.sqlite", "drop"
_AMOUNTS = ("inflow", "outflow", "average_balance", "credit_outstanding", "overdue")
_COLUMNS = {"kind": "名单类别", "name": "名单名称", "listed_on": "列入日期", "removed_on": "移出日期", "reason": "原因"}


def write_bank(world: World, folder: Path) -> dict[str, str]:
    """Make ``bank.sqlite`` and ``drop/`` in ``folder`` anew, and give the secrets by which bank-internal is reached.

    Customers are the first enterprises; those whom a scenario says nobody knows are left out.
    """
    drop = folder / DROP
    drop.mkdir(parents=True, exist_ok=True)
    database = folder / DATABASE
    database.unlink(missing_ok=True)
    now = month_of(world.today())
    listed: list[dict[str, object]] = []
    with closing(sqlite3.connect(database)) as connection, connection:
        columns = ", ".join(f"{name} TEXT" for name in _AMOUNTS)
        connection.execute(f"CREATE TABLE account_month (cust_uscc TEXT, month TEXT, {columns})")
        for n in range(CUSTOMERS):
            uscc = world.enterprise(n).uscc
            _, months = world.rows("bank-internal", "bank_internal", uscc, now - HISTORY, now)
            connection.executemany(
                f"INSERT INTO account_month VALUES ({', '.join('?' * (2 + len(_AMOUNTS)))})",  # noqa: S608
                [(uscc, row["month"], *(row[name] for name in _AMOUNTS)) for row in canonical(months)],
            )
            _, lists = world.rows("bank-internal", "internal_lists", uscc)
            listed += [{"统一社会信用代码": uscc, **row} for row in canonical(lists)]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["统一社会信用代码", *_COLUMNS.values()])
    writer.writerows([[row["统一社会信用代码"], *(row.get(name, "") for name in _COLUMNS)] for row in listed])
    (drop / f"lists-{world.today():%Y%m%d}.csv").write_bytes(text.getvalue().encode("gb18030"))
    return {"database": f"sqlite:///{database.resolve()}", "folder": str(drop.resolve())}
