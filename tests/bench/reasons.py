"""Why a target is not met, from what was measured beside."""

from collections.abc import Mapping

from tests.bench.figures import OURS, PRODUCT
from tests.bench.results import Rate, Results


def unmet(results: Results) -> list[str]:
    """A line for each target that is not met: what it is, and what it is made of."""
    lines = [
        f"{rate.figure.name}: {rate.ratio(OURS):.2f} instead of {rate.figure.target}."
        f" {_of_rate(rate, results.cores)}"
        for rate in results.rates
        if not rate.figure.target.is_met(rate.ratio(OURS))
    ]
    for one in results.reached():
        if not one.is_met:
            line = f"{one.name}: {one.value:.1f}{one.target.unit} instead of {one.target}"
            lines.append(f"{line} ({one.beside}).")
    return lines


def _of_rate(rate: Rate, cores: int) -> str:
    product, ours = rate.cpu_ms(PRODUCT), rate.cpu_ms(OURS)
    if not product:
        return "This machine does not tell where the processor time goes."
    busy = sum(product.values()) * rate.median(PRODUCT) / 1000 / cores
    return (
        f"A run costs {split(product)}; pgbench's {split(ours)}."
        f" The cores were {min(busy, 1):.0%} busy with it."
    )


def split(cpu_ms: Mapping[str, float]) -> str:
    """What a run costs, in all and by program."""
    parts = ", ".join(f"{program} {ms:.2f}" for program, ms in cpu_ms.items())
    return f"{sum(cpu_ms.values()):.2f} ms of a core ({parts})"
