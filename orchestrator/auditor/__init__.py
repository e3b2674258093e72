"""The auditor: reads a database and clients' logs, and holds both to the rules of `audit/`.

It works beside a service that goes on: each page of runs is read as it was at one
moment, in a transaction of its own, and judged after that has ended.
"""
