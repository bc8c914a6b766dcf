from support.watches import TOPIC, notice
from trackside_journal.bus import InProcessBus
from trackside_journal.fanout import Hub


async def test_what_is_published_waits_for_the_watchers_at_once() -> None:
    hub = Hub()
    bus = InProcessBus(hub)
    await bus.start()
    subscription = hub.subscribe(TOPIC)

    bus.publish([notice(0, 1), notice(1, 2)])

    piece = subscription.next_piece()
    assert piece is not None
    assert piece.position == 2
    await bus.close()
