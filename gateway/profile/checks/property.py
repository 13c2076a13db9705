"""property: owner against the subject, current mortgages against the declaration, current seizures."""

import re
from collections.abc import Sequence
from decimal import Decimal

from connectors.base import Row
from gateway.profile.checks.base import (
    CONFLICT,
    CONSISTENT,
    INFO,
    NOT_COMPARABLE,
    SERIOUS,
    UNKNOWN,
    Dict,
    finding,
    stated,
    took,
    unknown,
)
from gateway.profile.material import Answer, Material
from gateway.profile.measures import sum_of
from gateway.profile.policy import CheckPolicy
from schemas.identifiers import NameMatch, compare_names

_WITHHELD = (
    "授权未覆盖是否现势，无法区分现行与历史记录。",
    "The consent does not cover which records are current: they cannot be told from history.",
)
_CO_OWNERS = re.compile("[、,，;；]")


def secured_totals(material: Material) -> list[tuple[Answer, Decimal | None]]:
    """Per mortgage source the secured claims that stand, in 元; None where a standing mortgage gives no amount, or
    where the consent withholds which ones stand."""
    return [(answer, sum_of(_standing(answer), "secured_amount")) for answer in material.of("mortgages")]


def _standing(answer: Answer) -> list[Row]:
    """The mortgages that stand. One without any figure stands for what cannot be told."""
    return [row for row in answer.rows if row.get("current") is not False] if answer.knows("current") else [{}]


def check(
    material: Material,
    secured_total: Sequence[tuple[Answer, Decimal | None]],
    doubtful: frozenset[str],
    policy: CheckPolicy,
) -> list[Dict]:
    owners = [_owner(material, answer) for answer in material.of("real_estate")]
    mortgages = [_mortgage(material, answer, total, doubtful, policy) for answer, total in secured_total]
    seizures = [_seizure(material, answer) for answer in material.of("seizures")]
    return [
        *(owners or [_no_source("real_estate", "不动产登记", "the real-estate register")]),
        *(mortgages or [_no_source("mortgages", "抵押登记", "the mortgage register", material)]),
        *(seizures or [_no_source("seizures", "查封登记", "the register of seizures")]),
    ]


def _no_source(section: str, zh: str, en: str, material: Material | None = None) -> Dict:
    declared = material.declared.get("mortgage_amount") if material else None
    values = [] if declared is None else [stated("declared/mortgage_amount", declared, "元")]
    return unknown(
        "property",
        [section],
        f"没有{zh}的应答（未查询或未答复）：未知，不等于没有。",
        f"There is no answer of {en} (not asked, or none came): unknown, which is not «none».",
        values,
    )


def _owner(material: Material, answer: Answer) -> Dict:
    if not answer.knows("current"):
        return unknown("property", ["real_estate"], *_WITHHELD)
    unnamed = 0
    names: dict[str, bool] = {}
    for number, row in enumerate(answer.rows):
        if row.get("current") is False:
            continue
        uscc, owner = row.get("owner_uscc"), row.get("owner")
        if uscc is None and owner is None:
            unnamed += 1
            continue
        if uscc is not None:
            ours = uscc == material.uscc
        else:
            name = str(owner)
            if name not in names:
                names[name] = any(
                    compare_names(part, material.name, material.known) is not NameMatch.DIFFERENT
                    for part in _CO_OWNERS.split(name)
                )
            ours = names[name]
        if not ours:
            return finding(
                "property",
                CONFLICT,
                SERIOUS,
                ["real_estate"],
                [
                    stated(answer.ref(number), str(owner if owner is not None else uscc)),
                    stated("declared/name", material.name),
                ],
                "登记的权利人不是该企业。",
                "The registered owner is not this enterprise.",
                taken=took(answer.ref(number), "不动产以登记为准。", "The register decides who owns real estate."),
            )
    if unnamed:
        return unknown(
            "property",
            ["real_estate"],
            f"{unnamed}条记录未给出权利人，无法核对。",
            f"{unnamed} records name no owner; ownership cannot be checked.",
        )
    return finding(
        "property",
        CONSISTENT,
        INFO,
        ["real_estate"],
        [stated(answer.source, len(answer.rows))],
        "登记的权利人与该企业相符，或登记机构确认无记录。",
        "The registered owner is this enterprise, or the register confirmed that it holds no record.",
        taken=took(answer.source, "不动产以登记为准。", "The register decides who owns real estate."),
    )


def _mortgage(
    material: Material, answer: Answer, total: Decimal | None, doubtful: frozenset[str], policy: CheckPolicy
) -> Dict:
    declared = material.declared.get("mortgage_amount")
    values = [stated(answer.source, total, "元"), stated("declared/mortgage_amount", declared, "元")]
    tolerance = f"registered <= declared * {1 + policy.mortgage_tolerance} (policy {policy.version})"

    def result(outcome: str, severity: str, zh: str, en: str, taken: Dict | None = None) -> Dict:
        return finding("property", outcome, severity, ["mortgages"], values, zh, en, tolerance=tolerance, taken=taken)

    register = took(answer.source, "抵押以登记为准。", "The register decides which mortgages stand.")
    if declared is None:
        return result(UNKNOWN, INFO, "企业未申报抵押金额。", "The enterprise declared no mortgage amount.")
    if "secured" in doubtful:
        return result(
            NOT_COMPARABLE,
            INFO,
            "抵押金额的计量单位存疑，不作比较。",
            "The unit of the secured claims is in doubt: not compared.",
        )
    stated_amount = Decimal(str(declared))
    at_least = total
    if at_least is None:
        standing = [row for row in _standing(answer) if "secured_amount" in row]
        at_least = sum_of(standing, "secured_amount") or Decimal(0)
    if at_least > stated_amount * (1 + policy.mortgage_tolerance):
        return result(
            CONFLICT,
            SERIOUS,
            "登记的在押金额超出企业申报，存在未申报的抵押。",
            "Registered mortgages exceed what the enterprise declared: a mortgage was not declared.",
            register,
        )
    if total is None or not answer.whole:
        return result(
            UNKNOWN,
            INFO,
            "抵押登记不完整，不能得出结论。",
            "The mortgage records are incomplete: no conclusion.",
        )
    if total < stated_amount * (1 - policy.mortgage_tolerance):
        return result(
            NOT_COMPARABLE,
            INFO,
            "申报金额大于该登记机构的登记；差额可能登记在其他地区。",
            "More is declared than this register holds; the rest may be registered elsewhere.",
        )
    return result(CONSISTENT, INFO, "登记的在押金额与申报相符。", "Registered and declared mortgages agree.", register)


def _seizure(material: Material, answer: Answer) -> Dict:
    if not (answer.knows("current") or answer.knows("seized_to")):
        return unknown("property", ["seizures"], *_WITHHELD)
    today = material.today.isoformat()
    for number, row in enumerate(answer.rows):
        ended = "seized_to" in row and str(row["seized_to"]) < today
        if row.get("current", not ended) is True:
            return finding(
                "property",
                CONFLICT,
                SERIOUS,
                ["seizures"],
                [stated(answer.ref(number), str(row.get("unit_number", "?")))],
                "不动产正被查封，不能作为自由财产。",
                "Real estate is under seizure at present: it is not free property.",
                taken=took(answer.ref(number), "查封以登记为准。", "The register decides what is seized."),
            )
    if not answer.whole:
        return unknown(
            "property", ["seizures"], "查封登记不完整，不能得出结论。", "The seizure records are incomplete."
        )
    return finding(
        "property",
        CONSISTENT,
        INFO,
        ["seizures"],
        [stated(answer.source, len(answer.rows))],
        "没有现行查封。",
        "No seizure stands at present.",
        taken=took(answer.source, "查封以登记为准。", "The register decides what is seized."),
    )
