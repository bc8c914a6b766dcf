"""The agent: the process that hosts runners near the work and dials out to the server.

    server ── Connect ──▶ dialing ─▶ host ─▶ held_run ─▶ a runner, in a thread of its own
       ▲                              │         │
       └────── delivery (the SDK's) ◀─┴── reporting ◀── what the runner says

What the agent must not forget is on disk before it answers or acts (`run_folder`), so that it may
be killed at any time: the next one goes on. See `detached` for how others start, find and stop it.
"""
