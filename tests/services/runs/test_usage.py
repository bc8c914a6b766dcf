from google.protobuf.duration_pb2 import Duration

from support.runs import RUNNING, Report, Server, state
from trackside_protos.runs.v1 import run_pb2


async def test_what_a_run_has_used_is_its_authoritys_word(server: Server) -> None:
    run = await server.create()
    used = run_pb2.Usage(processor_duration=Duration(seconds=3), peak_memory_bytes=1 << 30)

    await server.report(run.run_id, state(RUNNING), Report(usage=used))
    await server.report(
        run.run_id, Report(usage=run_pb2.Usage(peak_memory_bytes=1)), producer_id="other"
    )

    assert (await server.get(run.run_id)).usage == used
