"""Dibs under faults: requests that are lost, doubled, delayed, and a database that goes away."""
