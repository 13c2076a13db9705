"""The eight connectors of the benchmark: ordinary manifests, written to a folder and loaded from outside.

Requests are signed by the HMAC and hash schemes (tif, national, bg-hmac, hmac-template), two platforms each.
"""

from pathlib import Path

SECRETS = {
    name: f"bench-{name}"
    for name in ("app_id", "app_key", "app_secret", "rid", "access_key", "secret_key", "paasid", "token")
}

_AUTH = {
    "tif": 'scheme = "tif"\nsecrets = ["paasid", "token"]',
    "national": 'scheme = "national"\nsecrets = ["rid", "app_secret"]\nsid = "s_bench_001"',
    "bg-hmac": 'scheme = "bg-hmac"\nsecrets = ["access_key", "secret_key"]',
    "hmac-template": """scheme = "hmac-template"
secrets = ["app_id", "app_key"]
text = "{app_id}\\\\n{ts}\\\\n{nonce}\\\\n{body_sha256}\\\\n"
mac = "hmac-sha256"
encoding = "base64"
ts = "unix-ms"
headers = { X-App = "{app_id}", X-Ts = "{ts}", X-Nonce = "{nonce}", X-Sign = "{mac}" }""",
}

_MANIFEST = """id = "bench-{slug}"
version = "1"
names = {{ zh = "基准（虚构）", en = "Benchmark (invented)" }}
owner = "benchmark"
assurance = "assumed"
base_url = "{base_url}"

[auth]
{auth}

[outcome]
code = "code"
no_record = [{{ at = "code", equals = "01" }}]
success = [{{ at = "code", equals = "00" }}]
echo = {{ uscc = "uscc" }}

[limits]
rate = "100000/s"
concurrency = 1000

[[dataset]]
name = "{name}"
freshness = "45d"
request = {{ method = "POST", path = "/{name}", encode = "json", body = {{ uscc = "{{uscc}}" }} }}
rows = {{ at = "rows", many = true{ignore} }}
{period}
[dataset.fields]
{fields}
"""

_FIELDS: dict[str, tuple[str, list[str], str]] = {
    "registration": (
        "",
        [],
        """uscc = { from = "uniscid", type = "uscc" }
name = { from = "entname", type = "text" }
registration_number = { from = "regno", type = "text" }
established = { from = "estdate", type = "day", forms = ["yyyy-MM-dd"] }
registered_capital = { from = "regcap", type = "money", unit = "万元" }
industry_section = { from = "industryphy", type = "text" }
industry_code = { from = "industryco", type = "text" }
legal_representative = { from = "lerep", type = "text" }
address = { from = "dom", type = "text" }
business_scope = { from = "opscope", type = "text" }
state = { from = "regstate", type = "code", table = { 1 = "active" }, else = "reject" }""",
    ),
    "social_insurance": (
        'period = "month"',
        [],
        """month = { from = "aae003", type = "month", forms = ["yyyyMM"] }
kind = { from = "aae140", type = "code", table = { 110 = "pension", 310 = "medical" }, else = "reject" }
persons = { from = "rs", type = "count" }
base = { from = "aae180", type = "money", unit = "元" }
arrears = { from = "aae120", type = "money", unit = "元" }""",
    ),
    "provident_fund": (
        'period = "month"',
        ["gryjce"],
        """month = { from = "jzny", type = "month", forms = ["yyyyMM"] }
persons = { from = "dwjcrs", type = "count" }
sealed = { from = "dwfcrs", type = "count" }
amount = { from = "dwyjce", type = "money", unit = "元" }
employer_rate = { from = "dwjcbl", type = "ratio", form = "fraction" }
state = { from = "dwzt", type = "text" }""",
    ),
    "tax_returns": (
        'period = ["period_from", "period_to"]',
        [],
        """tax = { from = "zsxm", type = "code", table = { vat = "vat" }, else = "reject" }
period_from = { from = "skssqq", type = "day", forms = ["yyyyMMdd"] }
period_to = { from = "skssqz", type = "day", forms = ["yyyyMMdd"] }
sales = { from = "xse", type = "money", unit = "元" }
payable = { from = "ynse", type = "money", unit = "元" }
relief = { from = "jmse", type = "money", unit = "元" }
due = { from = "ybtse", type = "money", unit = "元" }
correction = { from = "gzbz", type = "flag", true = ["Y"], false = ["N"] }""",
    ),
    "invoices": (
        'period = "month"',
        [],
        """month = { from = "kpyf", type = "month", forms = ["yyyyMM"] }
direction = { from = "fx", type = "code", table = { sales = "sales", purchases = "purchases" }, else = "reject" }
count = { from = "fs", type = "count" }
amount = { from = "je", type = "money", unit = "元" }
tax = { from = "se", type = "money", unit = "元" }
red_amount = { from = "hzje", type = "money", unit = "元" }""",
    ),
    "real_estate": (
        "",
        [],
        """unit_number = { from = "bdcdyh", type = "text" }
certificate = { from = "bdcqzh", type = "text" }
owner = { from = "qlrmc", type = "text" }
location = { from = "zl", type = "text" }
area = { from = "mj", type = "decimal" }
use = { from = "ghyt", type = "text" }
registered_on = { from = "djsj", type = "day", forms = ["yyyy-MM-dd"] }
assessed_value = { from = "pgjz", type = "money", unit = "万元" }
current = { from = "qszt", type = "flag", true = ["1"], false = ["2"] }""",
    ),
    "judicial": (
        "",
        [],
        """kind = { from = "lb", type = "code", table = { judgment = "judgment" }, else = "reject" }
case_number = { from = "ah", type = "text" }
court = { from = "fy", type = "text" }
filed_on = { from = "larq", type = "day", forms = ["yyyy年M月d日"] }
published_on = { from = "fbrq", type = "day", forms = ["yyyy年M月d日"] }
amount = { from = "bdje", type = "money", unit = "元" }
role = { from = "ssdw", type = "code", table = { plaintiff = "plaintiff" }, else = "reject" }
closed = { from = "ja", type = "flag", true = ["1"], false = ["0"] }""",
    ),
    "penalties": (
        "",
        [],
        """document = { from = "CF_WSH", type = "text" }
name = { from = "CF_CFMC", type = "text" }
cause = { from = "CF_SY", type = "text" }
fine = { from = "CF_NR_FK", type = "money", unit = "万元" }
decided_on = { from = "CF_JDRQ", type = "day", forms = ["yyyy-MM-dd"] }
public_until = { from = "CF_GSJZQ", type = "day", forms = ["yyyy-MM-dd"] }
authority = { from = "CF_CFJG", type = "text" }""",
    ),
}


def write_platforms(folder: Path, base_url: str) -> list[Path]:
    """One connector folder per data set below ``folder``."""
    schemes = list(_AUTH)
    made = []
    for number, (name, (period, ignore, fields)) in enumerate(_FIELDS.items()):
        slug = name.replace("_", "-")
        place = folder / f"bench-{slug}"
        place.mkdir(parents=True)
        (place / "manifest.toml").write_text(
            _MANIFEST.format(
                slug=slug,
                name=name,
                base_url=base_url,
                auth=_AUTH[schemes[number % len(schemes)]].replace("\\\\n", "\\n"),
                ignore=f", ignore = {ignore}".replace("'", '"') if ignore else "",
                period=period,
                fields=fields,
            ),
            "utf-8",
        )
        made.append(place)
    return made
