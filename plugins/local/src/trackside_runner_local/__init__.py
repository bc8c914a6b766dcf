"""The local runner: it launches, watches and controls processes on this machine.

Each run is held by a small supervisor, a process of its own that lives on when the agent or the
server dies. Supervisor and runner meet in the run's folder and nowhere else (see `records`):

    agent ── runner.py ── launch.json ──▶ supervisor.py ──▶ the command, in a session of its own
                 ▲                            │
                 └── start.json, output, exit.json ◀┘

The supervisor also keeps the run's limits and times a stop, so that both hold with the agent away.
A second one stands by and goes on when it is killed; with both killed, the command and what it
has written wait for a third, which the runner starts as soon as it notices (see `supervisor`).

`supervisor` and what it imports (`holding`, `hold`, `family`, `child`, `fate`, `meter`,
`processes`, `frames` and `records`) is what a supervisor loads: nothing else but a little of the
standard library, so that each costs a few megabytes.
"""
