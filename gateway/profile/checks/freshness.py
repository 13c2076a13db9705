"""freshness: as-of dates against the policy, and months missing inside what a source gave."""

from datetime import timedelta

from gateway.profile.checks.base import CONFLICT, CONSISTENT, INFO, UNKNOWN, WARNING, Dict, finding, stated, unknown
from gateway.profile.material import Material
from gateway.profile.policy import CheckPolicy
from schemas.profile import State


def check(material: Material, policy: CheckPolicy, max_age: int | None) -> list[Dict]:
    found: list[Dict] = []
    fresh: list[str] = []
    undated: list[str] = []
    cut: list[str] = []
    for dataset, answers in material.answers.items():
        for answer in answers:
            limit = policy.fresh_for(dataset, max_age, answer.fresh_days)
            by = f"policy {policy.version}" if answer.fresh_days is None else "settings"
            if answer.state is State.PARTIAL and not answer.gaps:
                cut.append(answer.source)
                continue
            if answer.gaps:
                found.append(
                    finding(
                        "freshness",
                        CONFLICT,
                        WARNING,
                        [dataset],
                        [stated(answer.source, len(answer.gaps), "月", f"{answer.gaps[0]}..{answer.gaps[-1]}")],
                        f"期间内缺{len(answer.gaps)}个月的数据。",
                        f"{len(answer.gaps)} months are missing inside the period.",
                        tolerance="no month missing between the first and the last",
                    )
                )
            if answer.as_of is None:
                undated.append(answer.source)
            elif (material.today - answer.as_of).days > limit:
                oldest = material.today - timedelta(days=limit)
                found.append(
                    finding(
                        "freshness",
                        CONFLICT,
                        WARNING,
                        [dataset],
                        [
                            stated(answer.source, answer.as_of.isoformat()),
                            stated("policy/oldest_accepted", oldest.isoformat()),
                        ],
                        "数据截至日期早于要求。",
                        "The as-of date is older than asked.",
                        tolerance=f"{limit} days ({by})",
                    )
                )
            else:
                fresh.append(answer.source)
    for sources, zh, en in (
        (undated, "来源未给出数据截至日期。", "The source gives no as-of date."),
        (
            cut,
            "部分查询失败，无法判断截至日期和缺月。",
            "Some calls failed: neither as-of date nor missing months can be told.",
        ),
    ):
        if not sources:
            continue
        found.append(
            finding(
                "freshness",
                UNKNOWN,
                INFO,
                [source.partition("/")[2] for source in sources],
                [stated(source, None) for source in sources],
                zh,
                en,
            )
        )
    if fresh:
        found.append(
            finding(
                "freshness",
                CONSISTENT,
                INFO,
                [source.partition("/")[2] for source in fresh],
                [],
                "这些来源的截至日期符合要求。",
                "The as-of dates of these sources are as recent as asked.",
                tolerance=f"days per data set (policy {policy.version})",
            )
        )
    return found or [unknown("freshness", [], "没有来源答复。", "No source answered.")]
