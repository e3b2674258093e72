"""What people read of the standings, and what `bench-peers.json` holds."""

from tests.bench.page import Table, yes
from tests.bench.peers.contest import Entry, Standings
from tests.bench.reasons import split

SECTION = "peers"


def table(standings: Standings) -> Table:
    """Who drained how fast, and Dibs against each."""
    return Table(
        (
            f"drain of {standings.runs:,} runs, 2 processes",
            "runs/s",
            "ms of a core for each",
            "Dibs against it",
            "target",
            "met",
        ),
        [_row(standings, entry) for entry in standings.entries],
    )


def notes(standings: Standings) -> list[str]:
    """What is not met and why; versions and options; what each setting gave."""
    dibs = standings.entries[0]
    return [
        *(
            f"Not met: {standings.ratio(entry):.2f} of {entry.name} instead of {entry.target}."
            f" A run of Dibs costs {split(dibs.cpu_ms())}, a job of {entry.name}"
            f" {split(entry.cpu_ms())}."
            for entry in standings.entries
            if entry.target and not entry.target.is_met(standings.ratio(entry))
        ),
        *(f"{entry.name}: {entry.said}" for entry in standings.entries),
        *(
            f"{name}, each setting tried once: "
            + ", ".join(f"{text} {rate:,.0f}" for text, rate in rates.items())
            for name, rates in standings.tried.items()
        ),
    ]


def markdown(standings: Standings) -> str:
    """Everything, and what it was taken on."""
    machine = standings.machine
    taken_on = (
        f"{standings.taken_at:%Y-%m-%d %H:%M} UTC, commit {standings.commit or 'unknown'},"
        f" {len(standings.entries[0].samples)} repeats; {machine['cpu']}, {machine['cores']} cores,"
        f" PostgreSQL {machine['postgres']}, Python {machine['python']}"
    )
    bullets = "\n".join(f"- {note}" for note in [*notes(standings), taken_on])
    return f"{table(standings).markdown()}\n\n{bullets}"


def as_json(standings: Standings) -> dict[str, object]:
    return {
        "takenAt": standings.taken_at.isoformat(timespec="seconds"),
        "commit": standings.commit,
        "machine": standings.machine,
        "runs": standings.runs,
        "entries": [
            {
                "name": entry.name,
                "said": entry.said,
                "median": round(entry.median, 1),
                "cpuMsPerRun": {name: round(ms, 4) for name, ms in entry.cpu_ms().items()},
                "dibsRatio": round(standings.ratio(entry), 3),
                "target": str(entry.target) if entry.target else None,
                "met": entry.target.is_met(standings.ratio(entry)) if entry.target else None,
                "samples": [round(sample.runs_per_second, 1) for sample in entry.samples],
            }
            for entry in standings.entries
        ],
        "tried": standings.tried,
    }


def _row(standings: Standings, entry: Entry) -> tuple[str, ...]:
    ratio = standings.ratio(entry)
    return (
        entry.name,
        f"{entry.median:,.0f}",
        f"{sum(entry.cpu_ms().values()):.3f}",
        "" if entry is standings.entries[0] else f"{ratio:.2f}",
        str(entry.target) if entry.target else "",
        yes(entry.target.is_met(ratio)) if entry.target else "",
    )
