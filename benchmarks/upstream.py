"""A quiet upstream of eight platforms in a process of its own: 3 to 6 KB of JSON each, made before the run.

It must not be the bottleneck, so it is a bare asyncio protocol: it finds the credit code in the request's body and
puts it into a prepared reply. Signatures are not checked here; the connectors sign all the same.
"""

import asyncio
import json
import sys
from collections.abc import Callable

PLACE = "{USCC-18-CHARACTER"
MARK = b'"uscc":'


def _rows(count: int, row: Callable[[int], dict[str, object]]) -> list[dict[str, object]]:
    return [row(n) for n in range(count)]


def _month(n: int) -> str:
    year, month = divmod(2024 * 12 + 10 + n, 12)
    return f"{year}{month + 1:02d}"


def replies() -> dict[str, bytes]:
    """Path to reply body; every body names the enterprise at ``uscc`` for the echo check."""
    data: dict[str, list[dict[str, object]]] = {
        "registration": [
            {
                "uniscid": PLACE,
                "entname": "虚构基准测试有限公司（沙箱）",
                "regno": "990000000000018",
                "estdate": "2015-03-02",
                "regcap": "500.00",
                "industryphy": "C",
                "industryco": "3484",
                "lerep": "陈**",
                "dom": "虚构市虚构路1号" * 20,
                "opscope": "虚构零件的制造与销售；虚构设备维修；" * 45,
                "regstate": "1",
            }
        ],
        "social_insurance": _rows(
            48,
            lambda n: {
                "aae003": _month(n // 2),
                "aae140": ("110", "310")[n % 2],
                "rs": 31,
                "aae180": "312000.00",
                "aae120": "0",
            },
        ),
        "provident_fund": _rows(
            26,
            lambda n: {
                "jzny": _month(n),
                "dwjcrs": 30,
                "dwfcrs": 2,
                "dwyjce": "21,840.00",
                "gryjce": "21,840.00",
                "dwjcbl": "0.07",
                "dwzt": "正常",
            },
        ),
        "tax_returns": _rows(
            24,
            lambda n: {
                "zsxm": "vat",
                "skssqq": _month(n) + "01",
                "skssqz": _month(n) + "28",
                "xse": "1250000.00",
                "ynse": "37500.00",
                "jmse": "0.00",
                "ybtse": "37500.00",
                "gzbz": "N",
            },
        ),
        "invoices": _rows(
            48,
            lambda n: {
                "kpyf": _month(n // 2),
                "fx": ("sales", "purchases")[n % 2],
                "fs": 40,
                "je": "1240000.00",
                "se": "37200.00",
                "hzje": "0.00",
            },
        ),
        "real_estate": _rows(
            14,
            lambda n: {
                "bdcdyh": f"990000001001GB{n:05d}F00010001",
                "bdcqzh": f"虚构（2019）不动产权第{n:07d}号",
                "qlrmc": "虚构基准测试有限公司（沙箱）",
                "zl": "虚构市虚构路1号",
                "mj": "820.50",
                "ghyt": "工业",
                "djsj": "2019-06-03",
                "pgjz": "1200.00",
                "qszt": "1",
            },
        ),
        "judicial": _rows(
            16,
            lambda n: {
                "lb": "judgment",
                "ah": f"(2022)虚构99民初{n}号",
                "fy": "虚构市虚构区人民法院",
                "larq": "2022年04月13日",
                "fbrq": "2022年07月13日",
                "bdje": "120000.00",
                "ssdw": "plaintiff",
                "ja": "1",
            },
        ),
        "penalties": _rows(
            12,
            lambda n: {
                "CF_WSH": f"虚构罚字[2021]第{n}号",
                "CF_CFMC": "虚构行政处罚",
                "CF_SY": "虚构事由，仅用于基准测试。" * 3,
                "CF_NR_FK": "0.50",
                "CF_JDRQ": "2021-09-01",
                "CF_GSJZQ": "2024-09-01",
                "CF_CFJG": "虚构市虚构局",
            },
        ),
    }
    return {
        f"/{name}": json.dumps(
            {"code": "00", "uscc": PLACE, "total": len(rows), "rows": rows}, ensure_ascii=False, separators=(",", ":")
        ).encode()
        for name, rows in data.items()
    }


class _Platform(asyncio.Protocol):
    def __init__(self, prepared: dict[bytes, tuple[bytes, list[bytes]]]) -> None:
        self._prepared = prepared
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = self._held[:end]
            at = head.lower().find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            stop = end + 4 + length
            if len(self._held) < stop:
                return
            body = self._held[end + 4 : stop]
            self._held = self._held[stop:]
            path = head.split(b" ", 2)[1]
            start = body.find(b'"', body.find(MARK) + len(MARK)) + 1
            header, parts = self._prepared[path]
            self._transport.write(header + body[start : start + 18].join(parts))


async def main() -> None:
    prepared = {}
    for path, body in replies().items():
        assert 3000 <= len(body) <= 6144, (path, len(body))
        header = (
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        prepared[path.encode()] = (header.encode(), body.split(PLACE.encode()))
    server = await asyncio.get_running_loop().create_server(lambda: _Platform(prepared), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Ends with the process that started it: its end of the pipe closes.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
