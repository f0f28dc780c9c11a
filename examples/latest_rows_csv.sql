-- The latest version of each voice call in what target-csv has written (DuckDB).
-- Each run writes a file with its time in the name: the last file that has a call has its latest row.
with lines as (
    select * from read_csv('output/voice_calls-*.csv', filename = true, all_varchar = true)
)
select * exclude (filename)
from lines
qualify filename = max(filename) over (partition by account_id, engagement_id);
