-- The latest version of each voice call in what target-jsonl has written (DuckDB).
-- It appends, so the lookback of each run adds rows again: the last line is the latest.
with lines as (
    select *, row_number() over () as line
    from read_ndjson('output/voice_calls.jsonl', sample_size = -1)
)
select * exclude (line)
from lines
qualify line = max(line) over (partition by account_id, engagement_id);
