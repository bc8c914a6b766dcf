"""The runs service: it owns runs, their tasks, scopes and outputs, and their life."""
