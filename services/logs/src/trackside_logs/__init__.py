"""The logs service: it owns the log entries of every run."""
