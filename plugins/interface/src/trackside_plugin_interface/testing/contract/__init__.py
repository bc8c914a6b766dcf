"""The contract of a runner, as tests; collected by `pytest --trackside-runner NAME`."""
