import json
import re
import signal
import sys
from pathlib import Path

import pytest

from support.eventually import eventually
from support.instants import instant
from support.whole_installation import WholeInstallation, done
from trackside.cli.formats import listed, plain
from trackside.client import listing
from trackside.client.connection import Connection
from trackside.location import Location, read_token
from trackside_protos.runs.v1.run_pb2 import Run

pytestmark = pytest.mark.end_to_end


def test_a_followed_run_shows_its_output_and_gives_its_exit_code(
    installation: WholeInstallation,
) -> None:
    followed = installation.command("run", "--", "sh", "-c", "echo hello; echo warning >&2; exit 3")

    assert followed.code == 3
    assert sorted(followed.out.splitlines()) == ["hello", "warning"]
    assert "submitted: trackside describe" in followed.err
    assert "FAILED" in followed.err


def test_what_was_run_is_listed_described_and_logged(installation: WholeInstallation) -> None:
    code = "import os; print(os.getcwd())"
    words = ["run", "--name", "where", "--tag", "t1", "--param", "alpha=0.1"]
    followed = installation.command(*words, sys.executable, "-c", code)

    listed = json.loads(installation.command("get", "runs", "--tag", "t1", "-o", "json").out)
    described = installation.command("describe", "where")
    logged = installation.command("logs", "where")

    assert followed.out == logged.out == f"{Path.cwd()}\n"
    assert [run["state"] for run in listed["runs"]] == ["RUN_STATE_COMPLETED"]
    assert re.search(r"Parameters +alpha=0\.1\n", described.out)
    assert (described.code, described.err) == (0, "")


def test_a_sweep_is_followed_to_the_end_of_all_its_children(
    installation: WholeInstallation,
) -> None:
    words = ["run", "--name", "grid", "--sweep", "epsilon=0.02,0.05", "--parallelism", "1"]

    followed = installation.command(*words, "sh", "-c", "echo {epsilon}")

    described = installation.command("describe", "grid")
    assert followed.code == 0
    assert followed.err.count("COMPLETED") == 3
    assert [line.split()[1] for line in described.out.splitlines() if "epsilon=" in line] == [
        "epsilon=0.02",
        "epsilon=0.05",
    ]


def running_runs(installation: WholeInstallation) -> list[str]:
    return installation.command("get", "runs", "--state", "running", "-o", "name").out.split()


def test_an_interrupted_follower_detaches_and_the_run_goes_on_until_it_is_killed(
    installation: WholeInstallation,
) -> None:
    following = installation.open("run", "--name", "long", "sh", "-c", "echo started; sleep 1000")
    assert following.stdout is not None
    assert following.stdout.readline() == "started\n"

    following.send_signal(signal.SIGINT)
    detached = done(following)
    # What a run writes and that it runs are told to two services.
    status = eventually(lambda: running_runs(installation))
    killed = installation.command("kill", "--yes", "long")

    assert detached.code == 130
    assert "goes on" in detached.err
    assert len(status) == 1
    assert killed.code == 0
    assert " TERMINATED KILL by " in killed.out
    assert "confirmed +" in killed.out


_COUNTING = "import time\nfor i in range(40):\n print(i, flush=True); time.sleep(0.1)"


@pytest.mark.parametrize("command", ["run", "logs"])
def test_a_follower_misses_nothing_while_the_server_is_dead(
    command: str, installation: WholeInstallation
) -> None:
    words = ["run", sys.executable, "-c", _COUNTING]
    if command == "logs":
        started = installation.command("run", "-d", "-o", "name", *words[1:])
        words = ["logs", "-f", started.out.strip()]
    following = installation.open(*words)
    assert following.stdout is not None
    first = [following.stdout.readline() for _ in range(5)]

    installation.kill()
    installation.start()
    rest = done(following)

    assert [*first, *rest.out.splitlines(keepends=True)] == [f"{i}\n" for i in range(40)]
    assert rest.code == 0


def test_a_log_is_followed_to_its_end(installation: WholeInstallation) -> None:
    code = "import time\nfor i in range(10):\n print(i, flush=True); time.sleep(0.1)"
    run_id = installation.command("run", "-d", "-o", "name", sys.executable, "-c", code).out.strip()

    followed = installation.command("logs", "-f", run_id)

    assert followed.out.split() == [str(i) for i in range(10)]
    assert followed.code == 0


def test_watching_gives_how_a_run_ended(installation: WholeInstallation) -> None:
    run_id = installation.command("run", "-d", "-o", "name", "sh", "-c", "sleep 0.5; exit 7").out

    watched = installation.command("watch", "--exit-status", run_id.strip())

    assert watched.code == 10
    assert watched.out.splitlines()[-1].startswith("FAILED")


def test_a_run_that_is_not_there_and_an_impossible_filter_have_their_codes(
    installation: WholeInstallation,
) -> None:
    missing = installation.command("describe", "nothing-such")
    unknown = installation.command("logs", "0000000000000000")
    impossible = installation.command("get", "runs", "--filter", "stat = RUNNING")

    assert (missing.code, unknown.code, impossible.code) == (3, 3, 2)
    assert "did you mean state" in impossible.err


def test_the_server_is_told_in_the_version(installation: WholeInstallation) -> None:
    facts = json.loads(installation.command("version", "-o", "json", "--server").out)

    assert facts["server"]["address"] == installation.address
    assert facts["server"]["durability"] == "DURABILITY_FULL"


def test_runners_are_listed(installation: WholeInstallation) -> None:
    assert installation.command("get", "runners").out.splitlines()[1].startswith("local")


_REPORTER = """
import trackside
with trackside.start_run(
    "facts", params={"alpha": 0.1}, tags=["facts"], system_metrics=False
) as run:
    run.log({"loss": 0.5}, step=1)
    print("said")
"""


def test_describe_gives_the_same_facts_as_the_api(installation: WholeInstallation) -> None:
    command = [sys.executable, "-c", _REPORTER]
    assert installation.command("run", "--name", "facts", *command).code == 0
    location = Location(installation.address, read_token(installation.home), installation.home)
    with Connection(location) as connection:  # what its metrics have come to is known last
        run_id = installation.command("get", "runs", "--tag", "facts", "-o", "name").out.strip()
        eventually(lambda: is_complete(listing.get_run(connection, run_id)))

    described = json.loads(installation.command("describe", "facts", "-o", "json").out)

    with Connection(location) as connection:
        assert described["run"]["runId"] == run_id
        assert described["run"] == plain(listing.get_run(connection, run_id))
        assert described["tasks"] == listed(listing.list_tasks(connection, run_id))
        assert described["processes"] == listed(listing.list_processes(connection, run_id))
        assert described["series"] == listed(listing.list_series(connection, run_id))
        assert described["outputs"] == listed(listing.list_outputs(connection, run_id))
        said = [plain(line.entry) for line in listing.list_logs(connection, run_id)]
    assert [entry["message"] for entry in described["log"]] == ["said"]
    assert [{**entry, "sequence": "1", "late": False} for entry in said] == described["log"]
    assert [series["key"] for series in described["series"]] == ["loss"]


def is_complete(run: Run) -> bool:
    return run.sealed and bool(run.series_figures)


def test_a_retried_order_starts_once(installation: WholeInstallation, tmp_path: Path) -> None:
    words = ["--request-id", "once", "--", "sh", "-c", f"echo started >> {tmp_path}/starts"]

    first = installation.command("run", "-o", "name", *words)
    again = installation.command("run", "-o", "name", *words)

    assert first.out.split()[0] == again.out.split()[0]
    assert (first.code, again.code) == (0, 0)
    assert (tmp_path / "starts").read_text("utf-8") == "started\n"


def test_a_resumed_run_gets_its_secret_again_and_is_linked(
    installation: WholeInstallation,
) -> None:
    script = 'test "$DB_PASSWORD" = right'
    words = ["run", "--name", "secret", "--env", "DB_PASSWORD=wrong", "sh", "-c", script]
    failed = installation.command(*words)

    blind = installation.command("resume", "secret")
    resumed = installation.command("resume", "--env", "DB_PASSWORD=right", "secret")

    runs = json.loads(
        installation.command("get", "runs", "--filter", "name = secret", "-o", "json").out
    )["runs"]
    assert (failed.code, blind.code, resumed.code) == (1, 2, 0)
    assert "--env DB_PASSWORD=…" in blind.err
    assert runs[0]["resumedRunId"] == runs[1]["runId"]
    assert runs[0]["sessionId"] == runs[1]["sessionId"]


def test_a_tagged_and_noted_run_is_exported_then_deleted(
    installation: WholeInstallation, tmp_path: Path
) -> None:
    run_id = installation.command("run", "-o", "name", "echo", "kept").out.split()[0]
    installation.command("tag", run_id, "+old")
    installation.command("note", run_id, "a note")

    exported = installation.command("export", run_id, "-o", str(tmp_path / "export"))
    deleted = installation.command("delete", "--yes", run_id)
    gone = installation.command("describe", run_id)

    written = json.loads((tmp_path / "export" / "run.json").read_text("utf-8"))
    assert (written["tags"], written["notes"]) == (["old"], "a note")
    assert (tmp_path / "export" / "log.txt").read_text("utf-8").endswith(" kept\n")
    assert (exported.code, deleted.code, gone.code) == (0, 0, 3)


def test_what_no_agent_has_is_stopped_at_once(installation: WholeInstallation) -> None:
    installation.command("run", "-d", "--name", "waits", "--runner", "nobody", "true")

    planned = installation.command("stop", "--dry-run", "waits")
    stopped = installation.command("stop", "--yes", "waits")
    again = installation.command("stop", "--yes", "waits")

    assert (planned.code, stopped.code, again.code) == (0, 0, 0)
    assert "nothing was stopped" in planned.err
    assert stopped.out.endswith(", there was nothing left to end\n")
    assert again.out == stopped.out


def test_who_follows_a_run_that_does_not_begin_is_told_why(
    installation: WholeInstallation,
) -> None:
    following = installation.open("run", "--name", "queued", "--runner", "nobody", "true")
    assert following.stderr is not None
    said = [following.stderr.readline() for _ in range(3)]

    described = installation.command("describe", "queued").out
    installation.command("kill", "--yes", "queued")
    done(following)

    assert said[1:] == [
        "PENDING QUEUED\n",
        "Waits for an agent that offers the runner nobody: there is none.\n",
    ]
    assert "Waits for  an agent that offers the runner nobody: there is none\n" in described


def test_a_sweep_is_killed_with_its_children_and_deleted_with_them(
    installation: WholeInstallation,
) -> None:
    words = ["run", "-d", "-o", "name", "--sweep", "a=1,2,3", "--parallelism", "2"]
    run_id = installation.command(*words, "sleep", "1000").out.strip()

    killed = installation.command("kill", "--yes", run_id)
    states = installation.command("get", "runs", "--parent", run_id, "-o", "jsonl").out
    deleted = installation.command("delete", "--yes", run_id)

    assert (killed.code, deleted.code) == (0, 0)
    assert f"{run_id} TERMINATED KILL by " in killed.out
    assert states.count("RUN_STATE_TERMINATED") == 3
    assert deleted.err == f"Successfully deleted {run_id} and 3 children.\n"


def test_a_stop_lets_the_work_clean_up(installation: WholeInstallation) -> None:
    script = "trap 'echo tidy; exit 0' TERM; echo started; while :; do sleep 0.1; done"
    following = installation.open("run", "--name", "tidy", "sh", "-c", script)
    assert following.stdout is not None
    assert following.stdout.readline() == "started\n"

    stopped = installation.command("stop", "--yes", "--grace", "60s", "tidy")
    followed = done(following)

    assert stopped.code == 0
    assert "escalated" not in stopped.out
    assert "confirmed +" in stopped.out
    assert ("tidy" in followed.out.split(), followed.code) == (True, 11)


def test_a_stop_that_is_not_heeded_is_escalated(installation: WholeInstallation) -> None:
    script = "trap '' TERM; echo started; while :; do sleep 0.1; done"
    following = installation.open("run", "--name", "stubborn", "sh", "-c", script)
    assert following.stdout is not None
    assert following.stdout.readline() == "started\n"

    stopped = installation.command("stop", "--yes", "--grace", "0.2s", "stubborn")
    described = json.loads(installation.command("describe", "stubborn", "-o", "json").out)
    done(following)

    asked = described["run"]["controlRequests"][0]
    assert stopped.code == 0
    assert "escalated +" in stopped.out
    assert asked["result"] == "CONTROL_RESULT_ENDED"
    asked_at, escalated, confirmed = (
        instant(asked[f"{step}Time"]) for step in ("request", "escalate", "confirm")
    )
    assert asked_at < escalated <= confirmed


def test_a_run_that_takes_too_long_is_ended(installation: WholeInstallation) -> None:
    ended = installation.command("run", "--time-limit", "1s", "--name", "slow", "sleep", "100")
    described = json.loads(installation.command("describe", "slow", "-o", "json").out)["run"]

    assert ended.code != 0
    assert described["stateReason"] == "STATE_REASON_TIME_LIMIT"
