"""The jobs in DuckDB's SQL, as its performance guide advises: as many threads as workers, no insertion order.

python -m benchmarks.competitors.duckdb_sql JOB SOURCE OUTPUT [--workers N]

Lines are read by its parallel CSV reader, told that there is one column and no quotes. `split_part` was
quicker than regular expressions (0.46 s CPU against 0.59 for hits of 200 MB).
"""

import argparse
import os
import tempfile
from pathlib import Path

import duckdb

LINES = (
    "read_csv('SOURCE', columns = {'line': 'VARCHAR'}, delim = '\x01', quote = '', escape = '', "
    "header = false, auto_detect = false, new_line = '\\n', strict_mode = false)"
)
DOCUMENTS = (
    "read_csv('SOURCE', columns = {'number': 'UINTEGER', 'line': 'VARCHAR'}, delim = '\t', quote = '', "
    "escape = '', header = false, auto_detect = false, new_line = '\\n', strict_mode = false)"
)
REQUESTS = f"""
    SELECT line, split_part(line, '"', 2) AS request, split_part(request, ' ', 2) AS target,
           split_part(target, '?', 1) AS path
    FROM {LINES} WHERE target <> ''
"""

QUERIES = {
    "hits": f"SELECT path AS key, count(*) AS value FROM ({REQUESTS}) GROUP BY path",
    "words": f"""
        SELECT word AS key, count(*) AS value
        FROM (SELECT unnest(string_split(line, ' ')) AS word FROM {LINES}) GROUP BY word
    """,
    "status": f"""
        SELECT substr(split_part(line, ':', 2), 1, 2) AS hour,
               substr(split_part(line, '"', 3), 2, 3) AS status, count(*) AS value
        FROM ({REQUESTS}) GROUP BY ALL
    """,
    "sections": f"""
        SELECT split_part(path, '/', 2) AS section, count(DISTINCT split_part(line, ' ', 1)) AS addresses
        FROM ({REQUESTS}) GROUP BY section
    """,
    "top": f"""
        WITH counts AS (
            SELECT substr(split_part(line, '"', 3), 2, 3) AS status, path, count(*) AS hits
            FROM ({REQUESTS}) GROUP BY ALL
        ), best AS (
            FROM counts QUALIFY row_number() OVER (PARTITION BY status ORDER BY hits DESC, path) <= 10
        )
        SELECT status, list({{'path': path, 'hits': hits}} ORDER BY hits DESC, path) AS pages
        FROM best GROUP BY status
    """,
    "sessions": f"""
        WITH visits AS (
            SELECT split_part(line, ' ', 1) AS address,
                   try_strptime(substr(split_part(line, '[', 2), 1, 20), '%d/%b/%Y:%H:%M:%S') AS time
            FROM {LINES} WHERE time IS NOT NULL
        ), steps AS (
            SELECT address, time - lag(time) OVER visits_of > INTERVAL 30 MINUTE AS new
            FROM visits WINDOW visits_of AS (PARTITION BY address ORDER BY time)
        )
        SELECT address, 1 + count(*) FILTER (new) AS sessions, count(*) AS hits FROM steps GROUP BY address
    """,
    "index": f"""
        SELECT word, list(number ORDER BY number) AS documents
        FROM (SELECT number, unnest(list_distinct(string_split(line, ' '))) AS word FROM {DOCUMENTS})
        GROUP BY word
    """,
    "sort": f"SELECT line FROM {LINES} ORDER BY line",
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=QUERIES)
    parser.add_argument("source")
    parser.add_argument("output", type=Path)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    form = "FORMAT csv, HEADER false, QUOTE '', ESCAPE ''" if options.job == "sort" else "FORMAT json"
    query = QUERIES[options.job].replace("SOURCE", options.source)
    with tempfile.TemporaryDirectory(dir=options.output.parent) as folder:
        connection = duckdb.connect()
        connection.execute(f"SET threads = {options.workers}")
        connection.execute(f"SET preserve_insertion_order = false; SET temp_directory = '{folder}'")
        connection.execute(f"COPY ({query}) TO '{options.output}' ({form})")


if __name__ == "__main__":
    main()
