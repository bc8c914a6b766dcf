"""The local runner: it launches, watches and controls processes on this machine.

Each run is held by a small supervisor, a process of its own that lives on when the agent or the
server dies. Supervisor and runner meet in the run's folder and nowhere else (see `records`):

    agent ── runner.py ── launch.json ──▶ supervisor.py ──▶ the command, in a session of its own
                 ▲                            │
                 └── start.json, output, exit.json ◀┘

The supervisor also keeps the run's limits and times a stop, so that both hold with the agent away.

`supervisor`, `child`, `fate`, `meter`, `processes`, `frames` and `records` are what a supervisor
loads: it imports nothing but them and a little of the standard library, so that each costs a few
megabytes.
"""
