from support.reporting import append_server, location, programs, reporting

__all__ = ["append_server", "location", "programs", "reporting"]
