"""What processes have used: CPU time and memory, as the operating system counts them."""

import re
from collections.abc import Mapping
from pathlib import Path

import psutil  # type: ignore[import-untyped]


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU time, user and system, that each process has used since its start (resolution 10 ms on Linux)."""
    return {name: _seconds(psutil.Process(pid)) for name, pid in pids.items()}


def resident_megabytes(pid: int) -> float:
    """Return the memory of a process that is in RAM, in MB (1,000,000 bytes)."""
    return float(psutil.Process(pid).memory_info().rss) / 1e6


def peak_megabytes() -> float:
    """Return the most memory that this process has had in RAM, in MB (1,000,000 bytes)."""
    [kib] = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(kib) * 1024 / 1_000_000


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
