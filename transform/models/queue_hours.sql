with engagements as (
    select
        *,
        {{ hour_of(local_time('start_time')) }} as hour_start
    from {{ ref('int_zoom_cc__engagements') }}
),

-- An engagement counts once in each of its queues, however often it came there. A queue without an id
-- is told by its name.
queues as (
    select
        engagement_key,
        queue_id,
        case when queue_id is null then queue_name end as name_without_id,
        max(queue_name) as queue_name
    from {{ ref('engagement_queues') }}
    group by engagement_key, queue_id, name_without_id
),

hours as (
    select
        engagements.account_id,
        max(engagements.account_name) as account_name,
        engagements.channel,
        engagements.direction,
        queues.queue_id,
        max(queues.queue_name) as queue_name,
        engagements.hour_start,
        {{ engagement_measures() }}
    from engagements
    left join queues on engagements.engagement_key = queues.engagement_key
    group by
        engagements.account_id,
        engagements.channel,
        engagements.direction,
        queues.queue_id,
        queues.name_without_id,
        engagements.hour_start
)

select
    *,
    {{ key_of(['account_id', 'channel', 'direction', 'queue_id', 'queue_name', text_of_time('hour_start')]) }}
        as queue_hour_key
from hours
