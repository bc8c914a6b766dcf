"""From messages to lines of text: pure functions, no I/O and no clock."""
