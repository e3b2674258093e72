"""What people look at: how long pages take on a backlog, and what looking costs the claims."""
