-- The latest version of each voice call in what target-jsonl has written (DuckDB): to one file, as
-- meltano.yml has it, or to a file for each run, with the time in its name, as the target does by
-- itself. The lookback of each run adds rows again: the last line of the last file is the latest.
with lines as (
    select *, row_number() over () as line
    from read_ndjson('output/voice_calls*.jsonl', filename = true, sample_size = -1)
)
select * exclude (filename, line)
from lines
qualify
    row_number() over (
        partition by account_id, engagement_id
        order by filename desc, line desc
    ) = 1;
