"""Acceptance: real orchestrators and executors, each a process, on real Postgres."""
