"""What pytest must know of the search tests: an option, two markers, and one line at the end.

tests/conftest.py registers this, because with xdist the controller, which prints that line, loads
no conftest of a subdirectory.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ..search_server import find

PROPERTY = "vector_search"
_DESELECTED = "vector_search_deselected"


def add_options(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-search",
        action="store_true",
        help="replace the recordings of the search tests with what a real server says",
    )


class SearchReport:
    """Counts search tests by where they ran, leaves out those that cannot run, and says so."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.source = find()
        self.ran: Counter[str] = Counter()
        self.deselected = 0
        config.addinivalue_line(
            "markers",
            "real_search(modules=False): its search backends need a real search server, and with "
            "modules=True one that the test starts itself; deselected where there is none",
        )
        config.addinivalue_line(
            "markers",
            "same_commands: whatever the other parameters are, what is sent depends on the backend",
        )
        if config.getoption("--record-search") and not self.source.found:
            raise pytest.UsageError("--record-search needs a real search server; none was found")

    def _runs(self, item: pytest.Item) -> bool:
        marker = item.get_closest_marker("real_search")
        if marker is None:
            return True
        callspec = getattr(item, "callspec", None)
        if callspec is not None and callspec.params.get("backend") == "exact":
            return True
        return bool(self.source.modules) if marker.kwargs.get("modules") else self.source.found

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        left_out = [item for item in items if not self._runs(item)]
        if left_out:
            items[:] = [item for item in items if self._runs(item)]
            self.config.hook.pytest_deselected(items=left_out)
        self.deselected = len(left_out)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.ran.update(str(how) for name, how in report.user_properties if name == PROPERTY)

    def pytest_sessionfinish(self) -> None:
        output: dict[str, Any] | None = getattr(self.config, "workeroutput", None)
        if output is not None:
            output[_DESELECTED] = self.deselected

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        # Every xdist worker collects everything, so each has the same number.
        output = getattr(node, "workeroutput", None) or {}
        self.deselected = max(self.deselected, output.get(_DESELECTED, 0))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.ran or self.deselected:
            terminalreporter.write_line(self.summary())

    def summary(self) -> str:
        """``vector search: real valkey-search 1.2.1 (57 tests), replayed 0``, or why not."""
        replayed = self.ran["replayed"]
        real = [f"{how} ({number} tests)" for how, number in self.ran.items() if how != "replayed"]
        if real:
            line = f"vector search: {', '.join(real)}, replayed {replayed}"
        else:
            line = f"vector search: no module found, replayed {replayed} tests from recordings"
        if self.deselected:
            line += f", deselected {self.deselected} that need a real server"
        return line
