"""What runs Dibs on one machine: an embedded Postgres, `dibs dev` and the demos."""
