"""Named enterprises for people: each stands for one situation and always has the same number.

The first enterprises of every population are these; what each must lead to is data (``GET /_sandbox/scenarios``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from connectors.sandbox.population import Role

Trouble = Literal["down", "slow", "wrong-enterprise", "empty"]


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    zh: str
    en: str
    role: Role = field(default_factory=Role)
    troubles: Mapping[str, Trouble] = field(default_factory=dict)
    """By platform; ``*`` is every platform. They concern requests about this enterprise only."""

    def trouble(self, platform: str) -> Trouble | None:
        return self.troubles.get(platform) or self.troubles.get("*")


SCENARIOS = (
    Scenario("clean", "各平台一致", "All platforms agree"),
    Scenario(
        "headcount-conflict",
        "公积金缴存人数远少于社保参保人数",
        "The provident fund pays for far fewer persons than are insured",
        Role("headcount-fund"),
    ),
    Scenario(
        "revenue-conflict",
        "年报营业收入远高于纳税申报收入",
        "The annual report claims far more revenue than was taxed",
        Role("revenue-annual-report"),
    ),
    Scenario(
        "unit-error",
        "登记机关的注册资本误以元报送",
        "The register gives the capital in 元 where 万元 is due",
        Role("unit-capital"),
    ),
    Scenario(
        "hidden-mortgage",
        "存在未申报的抵押",
        "A current mortgage that the declaration leaves out",
        Role("hidden-mortgage"),
    ),
    Scenario(
        "dishonest-debtor",
        "失信被执行人，申报称无涉诉",
        "A dishonest debtor that declared no case",
        Role("dishonest-debtor"),
    ),
    Scenario("platform-down", "税务平台不可用", "The tax platform is down", troubles={"sh-tax": "down"}),
    Scenario("platform-slow", "公积金平台响应过慢", "The provident fund is too slow", troubles={"sh-hpf": "slow"}),
    Scenario(
        "wrong-enterprise",
        "社保平台返回了另一家企业",
        "The social security bureau answers about another enterprise",
        troubles={"sh-hrss": "wrong-enterprise"},
    ),
    Scenario("no-record", "所有平台均无记录", "No platform holds a record", troubles={"*": "empty"}),
)

WRONG = 1
"""The enterprise that a ``wrong-enterprise`` platform answers about."""

SLOW_SECONDS = 30.0
"""Longer than any connector's deadline."""


def scenario_of(n: int) -> Scenario | None:
    return SCENARIOS[n] if n < len(SCENARIOS) else None
