from __future__ import annotations

from pathlib import Path

import pytest

from ..search_server import deselect_without_server


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    deselect_without_server(Path(__file__).parent, config, items)
