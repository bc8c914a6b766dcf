import pytest

from support.append_server import AppendServer
from support.programs import Programs
from trackside_protos.logs.v1.log_entry_pb2 import LogEntry

pytestmark = pytest.mark.processes


def entries_of(server: AppendServer, stream: str = "stdout") -> dict[str, LogEntry]:
    return {entry.message: entry for entry in server.only_run().entries if entry.stream == stream}


def contexts_of(server: AppendServer) -> dict[str, dict[str, str]]:
    return {message: dict(entry.context) for message, entry in entries_of(server).items()}


def test_a_printed_line_carries_the_scope_in_which_it_was_printed(
    programs: Programs, append_server: AppendServer
) -> None:
    ended = programs.run(
        """
        import sys, trackside
        with trackside.start_run("p") as run:
            print("before")
            for fold in run.progress(range(3), "fold"):
                print("fitting", fold)
                with trackside.scope("part", total=2, context={"model": "Ridge"}):
                    sys.stdout.write("of it: ")
                    sys.stdout.write(f"{fold}\\n")
                    sys.stdout.writelines([f"first {fold}\\n", f"second {fold}\\n"])
            print("after")
        """
    )

    assert ended.output.splitlines()[:3] == ["before", "fitting 0", "of it: 0"]
    contexts = contexts_of(append_server)
    assert contexts["before"] == contexts["after"] == {}
    assert [contexts[f"fitting {n}"] for n in range(3)] == [{"fold": str(n + 1)} for n in range(3)]
    part = {"part": "1", "model": "Ridge"}
    assert contexts["of it: 1"] == contexts["second 1"] == {"fold": "2", **part}
    assert list(contexts) == ended.output.splitlines()


def test_a_printed_line_belongs_to_the_task_in_which_it_was_printed(
    programs: Programs, append_server: AppendServer
) -> None:
    programs.run(
        """
        import sys, trackside
        with trackside.start_run("p"), trackside.task("fit"):
            print("trains")
            print("complains", file=sys.stderr)
        """
    )

    (task_id,) = {r.task.task_id for r in append_server.only_run().reports if r.HasField("task")}
    assert entries_of(append_server)["trains"].task_id == task_id
    assert entries_of(append_server, "stderr")["complains"].task_id == task_id


def test_each_thread_prints_in_its_own_scope(
    programs: Programs, append_server: AppendServer
) -> None:
    programs.run(
        """
        import threading, trackside
        with trackside.start_run("p") as run:
            def work(name):
                with run.scope("worker", total=1, context={"name": name}):
                    for number in range(200):
                        print(f"{name} {number}\\n", end="")
            threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
        """
    )

    contexts = contexts_of(append_server)
    assert len(contexts) == 800
    assert all(context["name"] == message[0] for message, context in contexts.items())


def test_what_children_and_libraries_write_is_there_without_a_scope(
    programs: Programs, append_server: AppendServer
) -> None:
    ended = programs.run(
        """
        import os, subprocess, trackside
        with trackside.start_run("p") as run, run.scope("fold", total=1):
            print("ours", flush=True)
            os.write(1, b"by descriptor\\n")
            subprocess.run(["echo", "of a child"])
            print("ours again", flush=True)
        """
    )

    assert contexts_of(append_server) == {
        "ours": {"fold": "1"},
        "by descriptor": {},
        "of a child": {},
        "ours again": {"fold": "1"},
    }
    assert sorted(ended.output.splitlines()) == sorted(contexts_of(append_server))


def test_bars_secrets_and_what_logging_prints_are_as_ever_in_a_scope(
    programs: Programs, append_server: AppendServer
) -> None:
    ended = programs.run(
        """
        import logging, os, sys, trackside
        logging.basicConfig(level="INFO", format="%(message)s", stream=sys.stdout)
        with trackside.start_run("p") as run, run.scope("fold", total=1):
            print("10 %\\r50 %\\r100 %")
            print("key is", os.environ["MY_API_KEY"])
            logging.info("logged")
            print("logged")
        """,
        MY_API_KEY="hunter22",
    )

    assert ended.output.splitlines()[-2:] == ["logged", "logged"]
    found = [(e.stream, e.message, dict(e.context)) for e in append_server.only_run().entries]
    fold = {"fold": "1"}
    assert sorted(found) == [
        ("log", "logged", fold),
        ("stdout", "100 %", fold),
        ("stdout", "key is ********", fold),
        ("stdout", "logged", fold),
    ]


def test_after_the_run_the_streams_are_as_they_were(programs: Programs) -> None:
    ended = programs.run(
        """
        import contextlib, io, sys, trackside
        with trackside.start_run("p") as run, run.scope("fold"):
            inside = "write" in vars(sys.stdout)
            with contextlib.redirect_stdout(io.StringIO()) as elsewhere:
                print("redirected")
        print(inside, "write" in vars(sys.stdout), elsewhere.getvalue())
        """
    )

    assert ended.output == "True False redirected\n\n"
