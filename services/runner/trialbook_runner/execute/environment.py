"""Environments: what programs get of the runner's, and how the runner hides its own."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from trialbook_marketplace.rnr import ENCODER_VARIABLE, RERANKER_VARIABLE

PASSED_ON = "TRIALBOOK_COMMAND_ENV"
"""Names of further variables that programs get, separated by commas; ``*`` stands for any characters."""
FOR_WORKLOADS = frozenset((PASSED_ON, ENCODER_VARIABLE, RERANKER_VARIABLE))
"""Settings of this product that workloads read for themselves; none is a secret."""
HARMLESS = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "TMPDIR", "LANG", "LANGUAGE", "LC_*", "VIRTUAL_ENV",
    "LD_LIBRARY_PATH", "PYTHONUNBUFFERED", "PYTHONHASHSEED", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)  # fmt: skip
"""What programs need to find files, speak a language and use the machine; none of it is anybody's key."""
THREAD_LIMITS = {
    "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMEXPR_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}  # fmt: skip
"""Keeps libraries from starting threads when they are loaded. pyarrow's allocator has one, whoever uses another."""
_FIRST, _ENV_START, _ENV_END = 3, 50, 51
"""Numbers of fields in ``/proc/<pid>/stat``: the first one behind the name, and where the environment lies."""


def for_programs(env: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that a program may see: what is harmless, and what ``PASSED_ON`` names."""
    named = [name.strip() for name in env.get(PASSED_ON, "").split(",") if name.strip()]
    allowed = (*HARMLESS, *named)
    return {name: value for name, value in env.items() if any(fnmatchcase(name, pattern) for pattern in allowed)}


def forget_the_runners(env: MutableMapping[str, str]) -> None:
    """Take away what only the runner may know: its addresses, passwords and keys. For a workload's own process."""
    for name in [name for name in env if name.startswith(("TRIALBOOK_", "NATS_")) and name not in FOR_WORKLOADS]:
        del env[name]


@contextmanager
def without_threads() -> Iterator[None]:
    """What is loaded inside starts no threads, which forks would lack; variables that the user has set stay."""
    ours = {name: value for name, value in THREAD_LIMITS.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


def hide_initial() -> None:
    """Empty what ``/proc/<pid>/environ`` shows of this process and of all its forks; ``os.environ`` stays as it is.

    Does nothing where there is no such file.
    """
    stat = Path("/proc/self/stat")
    if not stat.exists():
        return
    for name, value in os.environ.items():
        os.putenv(name, value)  # a copy of its own, which the C library finds from now on
    fields = stat.read_text().rpartition(") ")[2].split()
    start, end = (int(fields[number - _FIRST]) for number in (_ENV_START, _ENV_END))
    if 0 < start < end:
        ctypes.memset(start, 0, end - start)
