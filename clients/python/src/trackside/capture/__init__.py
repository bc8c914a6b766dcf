"""Takes up what a program writes and logs, while its user sees it as before."""
