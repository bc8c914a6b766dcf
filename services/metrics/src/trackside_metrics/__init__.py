"""The metrics service: it owns the series and points of every run."""
