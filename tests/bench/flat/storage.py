"""How large the tables and their indexes are."""

import psycopg

from tests.bench.backlog import TABLES


def storage(owner: psycopg.Connection) -> list[str]:
    """A line for each table and each index, the largest table first."""
    rows = owner.execute(
        """
SELECT t.relname, c.relname, c.relkind = 'r', pg_relation_size(c.oid), greatest(c.reltuples, 0)
  FROM pg_class t
  LEFT JOIN pg_index i ON i.indrelid = t.oid
  JOIN pg_class c ON c.oid IN (t.oid, i.indexrelid)
 WHERE t.relname = ANY (%s) AND t.relkind = 'r'
 GROUP BY 1, 2, 3, 4, 5, t.oid
 ORDER BY pg_total_relation_size(t.oid) DESC, 1, 3 DESC, 4 DESC
""",
        [list(TABLES)],
    )
    return [
        f"{'' if is_table else '  '}{name:28} {size / 1024**2:10,.1f} MiB {entries:13,.0f} entries"
        for _, name, is_table, size, entries in rows
    ]
