with engagements as (
    select
        *,
        cast({{ local_time('start_time') }} as date) as day
    from {{ ref('int_zoom_cc__engagements') }}
),

days as (
    select
        account_id,
        max(account_name) as account_name,
        channel,
        direction,
        day,
        {{ engagement_measures() }}
    from engagements
    group by account_id, channel, direction, day
)

select
    *,
    {{ key_of(['account_id', 'channel', 'direction', 'day']) }} as account_day_key
from days
