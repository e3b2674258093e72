"""What one orchestrator counts, for Prometheus, right across its processes.

Numbers stand in memory that all processes of one `dibs serve` share, one row for each
(`rows`); a process counts in its own (`meter`, `series`), and whoever is asked adds the rows up
(`exposition`). `catalogue` declares every metric that is counted.
"""
