"""Every SQL statement of Dibs lives here, one module for each table's verbs.

A function takes a connection inside a transaction, does one operation and
returns plain frozen records. Guards stand in WHERE, time is the database's.
"""
