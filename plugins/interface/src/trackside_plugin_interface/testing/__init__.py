"""The contract kit: `pytest --trackside-runner NAME` tells what a runner still lacks."""
