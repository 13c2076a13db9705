"""identity: code, name, legal representative and address across every source, mask-aware.

A change of representative reaches other sources late; for ``representative_lag_days`` that is no conflict.
"""

from datetime import date

from connectors.base import Row
from gateway.profile.checks.base import (
    CONFLICT,
    CONSISTENT,
    INFO,
    NOT_COMPARABLE,
    SERIOUS,
    WARNING,
    Dict,
    finding,
    stated,
    took,
    took_of_two,
    unknown,
)
from gateway.profile.material import Answer, Material
from gateway.profile.policy import CheckPolicy
from schemas.identifiers import NameMatch, compare_names, normalise_name

_REGISTER = ("登记事项以登记机关为准。", "The registration authority decides what is registered.")


def check(material: Material, policy: CheckPolicy) -> list[Dict]:
    registrations = [answer for answer in material.of("registration") if answer.rows]
    if not registrations:
        return [
            unknown(
                "identity",
                ["registration"],
                "本画像没有登记机关的记录，身份未能核对。",
                "This profile holds no record of the registration authority: identity was not checked.",
                [stated("declared/uscc", material.uscc), stated("declared/name", material.name)],
            )
        ]
    first, *others = registrations
    found = [finding_ for answer in registrations for finding_ in (_code(material, answer), _name(material, answer))]
    found += _parties(material)
    found += _representative(material, first, policy)
    found += [_address(first, other) for other in others if "address" in first.rows[0] and "address" in other.rows[0]]
    return [one for one in found if one is not None] or [
        unknown(
            "identity",
            ["registration"],
            "授权未覆盖代码与名称，身份未能核对。",
            "The consent covers neither code nor name: identity was not checked.",
        )
    ]


def _code(material: Material, answer: Answer) -> Dict | None:
    uscc = answer.rows[0].get("uscc")
    if uscc is None:
        return None
    same = uscc == material.uscc
    return finding(
        "identity",
        CONSISTENT if same else CONFLICT,
        INFO if same else SERIOUS,
        ["registration"],
        [stated(answer.ref(0), uscc), stated("declared/uscc", material.uscc)],
        "统一社会信用代码相符。" if same else "登记的统一社会信用代码与所查企业不同。",
        "The unified social credit code agrees." if same else "The registered code is another enterprise's.",
        taken=took(answer.ref(0), *_REGISTER),
    )


def _name(material: Material, answer: Answer) -> Dict | None:
    name = answer.rows[0].get("name")
    if name is None:
        return None
    match = compare_names(material.name, str(name), material.former)
    if match is NameMatch.DIFFERENT and not answer.knows("former_names"):
        return finding(
            "identity",
            NOT_COMPARABLE,
            WARNING,
            ["registration"],
            [stated(answer.ref(0), name), stated("declared/name", material.name)],
            "所用名称不是登记名称；授权未覆盖曾用名，无法判断是否为曾用名。",
            "The name given is not the registered one; the consent does not cover former names, so it may be one.",
        )
    outcome, severity, zh, en = {
        NameMatch.SAME: (CONSISTENT, INFO, "企业名称相符。", "The name agrees."),
        NameMatch.FORMER: (
            CONSISTENT,
            INFO,
            "所用名称是该企业的曾用名。",
            "The name given is a former name of the enterprise.",
        ),
        NameMatch.MASKED: (
            NOT_COMPARABLE,
            INFO,
            "名称已脱敏，可见部分相符，不构成证明。",
            "The name is masked: what is visible agrees, which proves nothing.",
        ),
        NameMatch.DIFFERENT: (
            CONFLICT,
            SERIOUS,
            "所用名称不是登记名称，也不是曾用名。",
            "The name given is neither the registered nor a former name.",
        ),
    }[match]
    return finding(
        "identity",
        outcome,
        severity,
        ["registration"],
        [stated(answer.ref(0), name), stated("declared/name", material.name)],
        zh,
        en,
        taken=took(answer.ref(0), *_REGISTER) if outcome in (CONSISTENT, CONFLICT) else None,
    )


def _parties(material: Material) -> list[Dict]:
    """A court record under another name may be about another enterprise."""
    seen: set[str] = set()
    for answer in material.of("judicial"):
        for number, row in enumerate(answer.rows):
            party = str(row.get("name", material.name))
            if party in seen:
                continue
            seen.add(party)
            if compare_names(party, material.name, material.known) is NameMatch.DIFFERENT:
                return [
                    finding(
                        "identity",
                        CONFLICT,
                        WARNING,
                        ["judicial", "registration"],
                        [stated(answer.ref(number), party), stated("declared/name", material.name)],
                        "司法记录中的当事人名称与该企业不同。",
                        "The party named in a court record is not this enterprise.",
                    )
                ]
    return []


def _representative(material: Material, first: Answer, policy: CheckPolicy) -> list[Dict]:
    registered = first.rows[0].get("legal_representative")
    if registered is None:
        return []
    found: list[Dict] = []
    for answer in (*material.of("registration")[1:], *material.of("key_persons")):
        for number, row in enumerate(answer.rows):
            other = _representative_in(answer, row)
            if other is not None:
                found.append(_compare(material, first, str(registered), answer, number, other, policy))
    return found


def _representative_in(answer: Answer, row: Row) -> str | None:
    if answer.dataset == "registration":
        name = row.get("legal_representative")
    else:
        name = row.get("name") if row.get("is_representative") is True else None
    return None if name is None else str(name)


def _compare(
    material: Material, first: Answer, registered: str, answer: Answer, number: int, other: str, policy: CheckPolicy
) -> Dict:
    sections = ("registration", answer.dataset)
    values = [stated(first.ref(0), registered), stated(answer.ref(number), other)]
    tolerance = f"a change may lag {policy.representative_lag_days} days (policy {policy.version})"
    match = compare_names(other, registered)
    since = first.rows[0].get("representative_since")
    lagging = (
        since is not None
        and ((answer.as_of or material.today) - date.fromisoformat(str(since))).days <= policy.representative_lag_days
    )
    taken = took_of_two(first, answer, first.ref(0), *_REGISTER)
    if match is NameMatch.SAME:
        verdict = CONSISTENT, INFO, "法定代表人相符。", "The legal representative agrees."
    elif match is NameMatch.MASKED:
        verdict = (
            CONSISTENT,
            INFO,
            "法定代表人可见部分相符（已脱敏）。",
            "What is visible of the masked legal representative agrees.",
        )
    elif lagging:
        verdict = (
            CONSISTENT,
            INFO,
            "法定代表人新近变更，另一来源尚未更新。",
            "The legal representative changed recently; the other source has not followed yet.",
        )
    else:
        verdict = CONFLICT, WARNING, "法定代表人不一致。", "The sources name different legal representatives."
    outcome, severity, zh, en = verdict
    return finding("identity", outcome, severity, sections, values, zh, en, tolerance=tolerance, taken=taken)


def _address(first: Answer, other: Answer) -> Dict:
    left, right = str(first.rows[0]["address"]), str(other.rows[0]["address"])
    same = normalise_name(left) == normalise_name(right)
    return finding(
        "identity",
        CONSISTENT if same else CONFLICT,
        INFO,
        ["registration"],
        [stated(first.ref(0), left), stated(other.ref(0), right)],
        "住所相符。" if same else "两个来源的住所不一致。",
        "The address agrees." if same else "Two sources give different addresses.",
        taken=took_of_two(first, other, first.ref(0), *_REGISTER),
    )
