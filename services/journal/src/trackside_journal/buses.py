"""The choice between the buses."""

from trackside_journal.bus import Bus, InProcessBus
from trackside_journal.fanout import Hub


def open_bus(hub: Hub, *, redis_url: str | None, server_id: str, service: str) -> Bus:
    """Return the bus of a service's replicas.

    Args:
        hub: Is told what is heard.
        redis_url: Where replicas hear of each other; None: this is the only one.
        server_id: The identity of the installation.
        service: The service's name, for example `logs`.
    """
    if redis_url is None:
        return InProcessBus(hub)
    # Who needs no Redis does not wait for its client to be imported.
    from trackside_journal.redis_bus import RedisBus  # noqa: PLC0415

    return RedisBus(hub, url=redis_url, server_id=server_id, service=service)
