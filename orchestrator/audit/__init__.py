"""The audit: what must be true of every run's ledger, whatever happened to the run.

Pure rules. They are given histories, in order, and say what does not hold; they
know no SQL and trust nothing of the service but the names of states.
`orchestrator.auditor` reads a database for them.
"""
