import threading

from support.append_server import LOGS, METRICS, RUNS, AppendServer
from support.deliveries import RUN, create, finished, lines, open_run, point
from trackside.delivery.delivery import Delivery
from trackside.identifiers import new_identifier
from trackside.location import Location
from trackside.spool.folder import spools
from trackside_protos.runs.v1.report_pb2 import ControlReport, ControlStep, RunReport, StateReport
from trackside_protos.runs.v1.run_pb2 import ControlRequest
from trackside_protos.runs.v1.run_state_pb2 import RunAction, RunState

KILL = ControlRequest(request_id="k1", action=RunAction.RUN_ACTION_KILL)


def test_what_was_said_arrives_in_order_and_the_spool_is_gone(
    delivery: Delivery, append_server: AppendServer, location: Location
) -> None:
    outbox = open_run(delivery)

    for number in range(300):
        outbox.log(lines(str(number)))
        outbox.points(point(number))
    outbox.close()

    assert finished(delivery)
    stored = append_server.only_run()
    assert stored.messages == [str(number) for number in range(300)]
    assert stored.values("k") == [float(number) for number in range(300)]
    assert stored.kinds() == ["closed"]
    assert stored.reports[-1].closed.logs_batch_count == 300
    assert not list(spools(location.home))


def test_connections_that_break_before_acknowledgements_repeat_nothing(
    delivery: Delivery, append_server: AppendServer
) -> None:
    append_server.lose_acknowledgement = 0.1
    outbox = open_run(delivery)

    for number in range(100):
        outbox.log(lines(str(number)))
        outbox.points(point(number))
    outbox.close()

    assert finished(delivery)
    stored = append_server.only_run()
    assert stored.messages == [str(number) for number in range(100)]
    assert stored.values("k") == [float(number) for number in range(100)]
    assert append_server.received_batches > 201


def test_a_server_that_comes_later_gets_everything(
    delivery: Delivery, append_server: AppendServer
) -> None:
    append_server.stop()
    outbox = open_run(delivery)
    outbox.log(lines("before"))
    assert delivery.wait(lambda: delivery.reach.failures > 2, 60)

    append_server.start()
    outbox.log(lines("after"))

    append_server.wait_for(lambda: append_server.runs)
    append_server.wait_for(lambda: append_server.only_run().messages == ["before", "after"])


def test_a_server_that_is_restarted_meanwhile_gets_everything_once(
    delivery: Delivery, append_server: AppendServer
) -> None:
    outbox = open_run(delivery)

    for number in range(40):
        outbox.log(lines(str(number)))
        if number % 10 == 5:
            append_server.wait_for(lambda: append_server.runs)
            append_server.stop()
            append_server.start()
    outbox.close()

    assert finished(delivery)
    assert append_server.only_run().messages == [str(number) for number in range(40)]


def test_the_runs_of_one_process_share_few_threads(
    delivery: Delivery, append_server: AppendServer
) -> None:
    before = set(threading.enumerate())
    outboxes = [open_run(delivery, new_identifier()) for _ in range(50)]

    for outbox in outboxes:
        outbox.log(lines("one"))
        outbox.points(point(1))
    started = set(threading.enumerate()) - before
    ours = sorted(t.name for t in started if t.name.startswith("trackside-"))
    for outbox in outboxes:
        outbox.close()

    assert finished(delivery)
    assert ours == [f"trackside-{name}" for name in ("housekeeping", LOGS, METRICS, RUNS)]
    assert [stored.messages for stored in append_server.runs.values()] == [["one"]] * 50


def test_a_server_that_lost_everything_gets_the_run_again_and_what_is_left(
    delivery: Delivery, append_server: AppendServer
) -> None:
    outbox = open_run(delivery)
    outbox.log(lines("before"))
    append_server.wait_for(lambda: append_server.runs)
    append_server.wait_for(lambda: append_server.only_run().messages)
    assert delivery.flush(60)

    append_server.stop()
    append_server.forget()
    append_server.start()
    outbox.log(lines("after"))
    outbox.close()

    assert finished(delivery)
    assert append_server.only_run().messages == ["after"]


def test_control_requests_reach_the_callback(
    location: Location, append_server: AppendServer
) -> None:
    asked: list[tuple[str, str]] = []
    delivery = Delivery(
        location, on_control=lambda run_id, request: asked.append((run_id, request.request_id))
    )
    outbox = open_run(delivery)
    outbox.report([RunReport(state=StateReport(state=RunState.RUN_STATE_RUNNING))])
    append_server.wait_for(lambda: append_server.runs)
    append_server.wait_for(lambda: append_server.only_run().states)

    append_server.control(RUN, KILL)

    assert delivery.wait(lambda: asked == [(RUN, "k1")], 60)
    step = ControlReport(request_id="k1", step=ControlStep.CONTROL_STEP_ACKNOWLEDGED)
    outbox.report([RunReport(control=step)])
    append_server.wait_for(lambda: "control" in append_server.only_run().kinds())
    delivery.stop()


def test_what_is_durable_arrives_too(
    delivery: Delivery, append_server: AppendServer, location: Location
) -> None:
    outbox = delivery.open(RUN, "agent-1", create=create(), durable=True)

    for number in range(100):
        outbox.log(lines(str(number)))
    outbox.close()

    assert finished(delivery)
    assert append_server.only_run().messages == [str(number) for number in range(100)]
    assert not list(spools(location.home))
