"""Light callbacks for other libraries, each in a module named as the library, which it imports.

Each reports to the run that is handed to it, else to the one that was started last; without a run
it does nothing.
"""
