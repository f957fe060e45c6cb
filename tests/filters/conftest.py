from __future__ import annotations

from ..vectors.conftest import _counted, real_server, search_source

__all__ = ["_counted", "real_server", "search_source"]
