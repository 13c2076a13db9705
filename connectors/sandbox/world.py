"""The population behind the platforms: finds an enterprise by its code, with the troubles of named scenarios."""

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from connectors.sandbox.identity import number_of
from connectors.sandbox.nonces import NonceFile, Used
from connectors.sandbox.population import Enterprise, enterprise
from connectors.sandbox.scenarios import WRONG, Trouble, scenario_of
from connectors.sandbox.series import Row
from connectors.sandbox.views import view

Clock = Callable[[], float]
"""Unix seconds."""

_REMEMBERED = 4096


class World:
    """``nonces``: the file that remembers what callers sent, beyond this process; without it that is in memory."""

    def __init__(self, seed: int, clock: Clock = time.time, nonces: Path | None = None) -> None:
        self.seed = seed
        self.clock = clock
        self._nonces = NonceFile(nonces)
        self._recent: OrderedDict[tuple[int, date], Enterprise] = OrderedDict()

    def nonces(self, application: str, keep: float) -> Used:
        """Each for ``keep`` seconds."""
        return self._nonces.of(application, keep)

    def close(self) -> None:
        self._nonces.close()

    def today(self) -> date:
        """The calendar day in Asia/Shanghai (UTC+8, no summer time since 1991)."""
        return (datetime.fromtimestamp(self.clock(), UTC) + timedelta(hours=8)).date()

    def enterprise(self, n: int) -> Enterprise:
        """The many questions about one enterprise come together, so the last few thousand are remembered."""
        key = (n, self.today())
        found = self._recent.get(key)
        if found is None:
            scenario = scenario_of(n)
            found = enterprise(self.seed, n, key[1], scenario.role if scenario else None)
            self._recent[key] = found
            if len(self._recent) > _REMEMBERED:
                self._recent.popitem(last=False)
        return found

    def trouble(self, platform: str, uscc: str) -> Trouble | None:
        n = number_of(uscc)
        scenario = None if n is None else scenario_of(n)
        return scenario.trouble(platform) if scenario else None

    def about(self, platform: str, uscc: str) -> Enterprise | None:
        """Whom the platform answers about; None = it has no record of that code."""
        n = number_of(uscc)
        trouble = self.trouble(platform, uscc)
        if n is None or trouble == "empty":
            return None
        return self.enterprise(WRONG if trouble == "wrong-enterprise" else n)

    def rows(
        self, platform: str, dataset: str, uscc: str, first: int = 0, last: int = 0
    ) -> tuple[Enterprise | None, list[Row]]:
        """The enterprise answered about and its rows; month indexes bound the monthly data sets only."""
        e = self.about(platform, uscc)
        return e, view(e, dataset, first, last, platform) if e else []
