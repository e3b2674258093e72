"""The drain beside other queues on Postgres, each with its own best settings."""
