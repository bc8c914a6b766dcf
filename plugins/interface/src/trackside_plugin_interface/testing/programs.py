"""What the contract's runs execute: small Python programs, each a command of its own."""

import sys
from collections.abc import Sequence
from typing import Final

ENDS: Final = "import sys; sys.exit(int(sys.argv[1]))"

ENDS_BY_SIGNAL: Final = "import os; os.kill(os.getpid(), int(os.environ['TEST_SIGNAL']))"

COUNTS: Final = """
import sys
for number in range(int(sys.argv[1])):
    stream = sys.stderr if number % 3 == 0 else sys.stdout
    print(number, file=stream)
"""

WRITES_HEX: Final = "import sys; sys.stdout.buffer.write(bytes.fromhex(sys.argv[1]))"

WRITES_LONG_LINE: Final = "import sys; sys.stdout.write('x' * int(sys.argv[1]) + '\\nlast\\n')"

PUBLISHES: Final = """
import os, sys
folder = sys.argv[1]
os.makedirs(folder + "/folder/deep")
for name in ("/file", "/folder/a", "/folder/deep/b\\n"):
    with open(folder + name, "wb") as file:
        file.write(b"0123456789" * 30_000)
with open(folder + "/secret", "w") as file:
    file.write("secret")
os.symlink(folder + "/secret", folder + "/link")
os.symlink(folder + "/secret", folder + "/folder/link")
os.symlink(folder + "/folder", folder + "/folders")
os.mkfifo(folder + "/pipe")
"""
"""Writes what a run may publish, and what may have taken its place."""

APPENDS: Final = "import sys; open(sys.argv[1], 'a').write('started ')"

PRINTS_FACTS: Final = """
import json, os, sys
print(json.dumps({
    "arguments": sys.argv[1:], "directory": os.getcwd(), "environment": dict(os.environ),
}))
"""

COUNTS_SLOWLY: Final = """
import os, signal, sys, time
signal.alarm(300)  # a runner that fails may leave it behind
for number in range(1000):
    print(number, flush=True)
    if number == 499:
        while not os.path.exists(sys.argv[1]):
            time.sleep(0.01)
sys.exit(3)
"""

CLEANS_UP: Final = """
import os, signal, sys, time
signal.alarm(300)  # a runner that fails may leave it behind
told = 0
def clean_up(number, frame):
    global told
    told += 1
    os.write(1, b"told %d\\n" % told)  # print may be what was interrupted
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
    os.write(1, b"cleaned up\\n")
    os._exit(int(sys.argv[2]))
signal.signal(signal.SIGTERM, clean_up)
os.write(1, b"up\\n")
while True:
    time.sleep(0.05)
"""
"""Says how often it was told to end, and ends when it is allowed to."""

TAKES_MEMORY: Final = """
import signal, sys, time
signal.alarm(300)  # a runner that fails may leave it behind
print("up", flush=True)
taken = [bytearray(b"x" * (1024 * 1024)) for _ in range(int(sys.argv[1]))]
time.sleep(600)
"""

RESISTS: Final = """
import fcntl, os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
folder, depth = sys.argv[1], int(sys.argv[2])
if depth:
    for turn in range(2):
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            os.execv(sys.executable, [
                sys.executable, "-c", os.environ["TEST_PROGRAM"], folder, str(depth - 1),
            ])
lock = open(os.path.join(folder, str(os.getpid())), "w")
fcntl.flock(lock, fcntl.LOCK_EX)
lock.write("locked")
lock.flush()
while os.path.isdir(folder):
    time.sleep(0.05)
"""
"""Makes processes in sessions of their own that outlive their parents, each holding a lock.

They resist until the folder is gone, so that none is left of the test of a runner that fails.
"""


def python(program: str, *arguments: object) -> Sequence[str]:
    """Return the command that runs `program` with this Python."""
    return [sys.executable, "-c", program, *map(str, arguments)]
