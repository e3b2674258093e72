"""
A double of the pull request's executor, as a process of its own.

Written from what that executor was seen to send and to accept on the wire, never
from its code. It knows no leases, retries what that one retries, and refuses
every answer that that one would stumble over, with a line in its journal:
an adapter that it gets along with is one that serves the real one. Where the
wire does not tell how that one behaves, the double does what is harder to serve.
"""
