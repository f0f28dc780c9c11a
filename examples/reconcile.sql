-- Zoom's own counts beside those of the warehouse (DuckDB): what differs, by stream, account and day.
-- The counts are in counts.jsonl, which `tap-zoom-cc --reconcile` has written; the newest of a day
-- is taken. A line without a day is the sum of all days counted. No lines: nothing is missing.
set TimeZone = 'UTC';

with counts as (
    select *
    from read_ndjson(
        'counts.jsonl',
        columns = {
            stream: 'varchar', account_id: 'varchar', day: 'date',
            total_records: 'bigint', counted_at: 'timestamptz'
        }
    )
    qualify row_number() over (partition by stream, account_id, day order by counted_at desc) = 1
),
-- Accounts whose days Zoom counts in a time zone of their own, a line each; UTC for all others.
zones(account_id, zone) as (
    values ('the ID of an account', 'America/Los_Angeles')
),
rows_loaded as (
    select 'sms' as stream, account_id, engagement_id, start_time, end_time from sms
    union all
    select 'voice_calls', account_id, engagement_id, start_time, end_time from voice_calls
),
engagements as (
    select
        stream,
        account_id,
        engagement_id,
        cast(start_time::timestamptz at time zone coalesce(zone, 'UTC') as date) as first_day,
        cast(
            coalesce(end_time, start_time)::timestamptz at time zone coalesce(zone, 'UTC') as date
        ) as last_day
    from rows_loaded
    left join zones using (account_id)
),
-- Zoom does not say by which time it counts: each engagement on the day of its start, on that of its
-- end, or on every day from the one to the other.
placed as (
    select 'start' as counted_by, stream, account_id, engagement_id, first_day as day
    from engagements
    union all
    select 'end', stream, account_id, engagement_id, last_day
    from engagements
    union all
    select
        'every day', stream, account_id, engagement_id,
        cast(unnest(generate_series(first_day, last_day, interval 1 day)) as date)
    from engagements
),
loaded as (
    select counted_by, stream, account_id, day, count(distinct engagement_id) as loaded
    from placed
    semi join counts using (stream, day)
    group by all
),
compared as (
    select
        counted_by,
        stream,
        account_id,
        day,
        total_records as zoom,
        coalesce(loaded, 0) as warehouse
    from (select * from counts cross join (values ('start'), ('end'), ('every day')) as _(counted_by))
    full join loaded using (counted_by, stream, account_id, day)
),
-- Of the three, the one that differs least from Zoom's counts, by stream.
best as (
    select stream, counted_by
    from compared
    group by stream, counted_by
    qualify
        row_number() over (
            partition by stream order by sum(abs(zoom - warehouse)), counted_by desc
        ) = 1
)
select
    stream,
    account_id,
    day,
    sum(zoom) as zoom,
    sum(warehouse) as warehouse,
    sum(zoom) - sum(warehouse) as missing,
    counted_by
from compared
join best using (stream, counted_by)
group by grouping sets ((stream, account_id, day, counted_by), (stream, account_id, counted_by))
having sum(zoom) is distinct from sum(warehouse)
order by stream, account_id, day nulls first;
