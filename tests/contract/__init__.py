"""The wire: what the orchestrator serves, what the executor reads, what api.md promised."""
