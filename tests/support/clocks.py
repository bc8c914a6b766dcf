"""A clock of the wall that is wrong, for a program that is started with it."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

# The monotonic clock stays right, as it does on a machine whose date is wrong.
_SHIFT: Final = """
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long shift(void) { const char *told = getenv("CLOCK_SHIFT"); return told ? atol(told) : 0; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += shift();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) { now->tv_sec = precise.tv_sec; now->tv_usec = precise.tv_nsec / 1000; }
    return 0;
}

time_t time(time_t *told) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (told) *told = precise.tv_sec;
    return precise.tv_sec;
}
"""


def shifted_clock(folder: Path, seconds: int) -> dict[str, str]:
    """Return the environment of a program whose clock is so far ahead; skips without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no clock can be made wrong here: there is no compiler `cc`")
    source, library = folder / "shift.c", folder / "shift.so"
    source.write_text(_SHIFT)
    build = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)]
    subprocess.run(build, check=True)  # noqa: S603 - our own words
    return {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(seconds)}
