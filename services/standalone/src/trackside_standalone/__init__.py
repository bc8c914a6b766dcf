"""`trackside up`: every service, wired in one process."""
