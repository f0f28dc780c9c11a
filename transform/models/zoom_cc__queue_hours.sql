with engagements as (
    select
        *,
        {{ hour_of(local_time('start_time')) }} as hour_start
    from {{ ref('int_zoom_cc__engagements') }}
),

-- An engagement counts once in each of its queues, however often it came there.
queues as (
    select distinct
        engagement_key,
        queue_key,
        queue_id,
        queue_name
    from {{ ref('zoom_cc__engagement_queues') }}
),

hours as (
    select
        engagements.account_id,
        max(engagements.account_name) as account_name,
        engagements.channel,
        engagements.direction,
        queues.queue_key,
        queues.queue_id,
        queues.queue_name,
        engagements.hour_start,
        {{ engagement_measures() }}
    from engagements
    left join queues on engagements.engagement_key = queues.engagement_key
    group by
        engagements.account_id,
        engagements.channel,
        engagements.direction,
        queues.queue_key,
        queues.queue_id,
        queues.queue_name,
        engagements.hour_start
)

select
    *,
    {{ key_of(['account_id', 'channel', 'direction', 'queue_key', text_of_time('hour_start')]) }}
        as queue_hour_key
from hours
