"""What a process holds: memory and threads, as the kernel says."""

from dataclasses import dataclass

from tests.bench.processor_time import PROCESSES


@dataclass(frozen=True)
class Footprint:
    """Resident memory, and how many threads there are."""

    memory_mb: float
    threads: int


def footprint(pid: int) -> Footprint | None:
    """A process's footprint; None where the kernel does not tell, or it has ended."""
    path = PROCESSES / str(pid) / "status"
    if not path.exists():
        return None
    lines = path.read_text(encoding="utf-8").splitlines()
    said = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
    if "VmRSS" not in said:
        return None
    return Footprint(int(said["VmRSS"][0]) / 1024, int(said["Threads"][0]))
