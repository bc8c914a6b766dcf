"""Reports what this program does: one run, its metrics, logs, scopes, tasks and outputs."""
