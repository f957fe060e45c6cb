"""What a server says of itself, as servers write it."""

from __future__ import annotations

from valkey_memory import CommandError, ValkeyConnection
from valkey_memory._server.nodes import node_from, nodes_plan, read_info


def test_every_primary_is_asked(connection: ValkeyConnection) -> None:
    nodes = connection.run(nodes_plan())
    cluster = len(nodes) > 1
    assert len(nodes) == (3 if cluster else 1)
    assert len({node.address for node in nodes}) == len(nodes)
    for node in nodes:
        assert node.cluster == cluster
        assert node.name == "valkey"
        assert node.version
        assert node.save is not None


def test_info_as_servers_write_it() -> None:
    info = read_info(
        b"# Server\r\nserver_name:valkey\r\nvalkey_version:8.1.3\r\n# Memory\r\nmaxmemory:0\r\n"
        b"maxmemory_policy:allkeys-lru\r\n# Persistence\r\naof_enabled:0\r\n"
        b"rdb_last_bgsave_status:err\r\n# Modules\r\n"
        b"module:name=search,ver=65538,api=1,filters=0,usedby=[],using=[],options=[]\r\n"
    )
    found = node_from("host:1", info, {b"save": b""})
    assert found.modules == {"search": 65538}
    assert (found.version, found.maxmemory, found.maxmemory_policy) == ("8.1.3", 0, "allkeys-lru")
    assert (found.aof, found.save, found.failed_write) == (False, "", "snapshot")
    refused = node_from("host:1", info, CommandError("NOPERM"))
    assert refused.save is None
