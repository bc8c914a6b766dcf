"""How what producers say gets to the server: exactly once, whenever it can be reached."""
