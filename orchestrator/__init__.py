"""Dibs' orchestrator: it owns the runs and gives each to exactly one executor.

Layers, each importing only what stands below it:

    cli, server        processes
    app, api           HTTP: reads a request, calls one function, writes the answer
    desk               what outlives a request: waiting claims, the keeper
    store              every SQL statement
    lifecycle, errors, settings    pure; import nothing of ours
"""
