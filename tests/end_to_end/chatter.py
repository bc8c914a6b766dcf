"""A program that says much of itself until a file appears; keeps its own count of what it said.

python chatter.py STOP_FILE COUNT_FILE
"""

import sys
import time
from pathlib import Path

import trackside


def main(stop: Path, count_file: Path) -> None:
    """Say the same thing over and over, with a number."""
    count = 0
    with trackside.start_run() as run, run.scope("step") as scope:
        while not stop.exists():
            run.log({"number": float(count)}, step=count)
            run.info(f"said {count}")
            sys.stdout.write(f"printed {count}\n")
            sys.stdout.flush()
            scope.advance()
            if count % 20 == 0:
                run.task(f"task {count}", process="task").end()
            count += 1
            time.sleep(0.02)
    count_file.write_text(str(count), "ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
