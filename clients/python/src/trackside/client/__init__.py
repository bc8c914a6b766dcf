"""Reads runs, watches them and acts on them: everything but reporting."""
