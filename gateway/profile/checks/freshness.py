"""freshness: as-of dates against the policy, and months missing inside what a source gave."""

from datetime import timedelta

from gateway.profile.checks.base import CONFLICT, CONSISTENT, INFO, UNKNOWN, WARNING, Dict, finding, stated, unknown
from gateway.profile.material import Material
from gateway.profile.policy import CheckPolicy


def check(material: Material, policy: CheckPolicy, max_age: int | None) -> list[Dict]:
    found: list[Dict] = []
    fresh: list[str] = []
    undated: list[str] = []
    for dataset, answers in material.answers.items():
        limit = policy.fresh_for(dataset, max_age)
        for answer in answers:
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
                        tolerance=f"{limit} days (policy {policy.version})",
                    )
                )
            else:
                fresh.append(answer.source)
    if undated:
        found.append(
            finding(
                "freshness",
                UNKNOWN,
                INFO,
                [source.partition("/")[2] for source in undated],
                [stated(source, None) for source in undated],
                "来源未给出数据截至日期。",
                "The source gives no as-of date.",
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
