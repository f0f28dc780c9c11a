with legs as (
    select
        *,
        {{ key_of_named('account_id', 'queue_id', 'queue_name_in_leg') }} as queue_key,
        {{ key_of_named('account_id', 'first_agent_id', 'first_agent_name_in_leg') }} as first_agent_key
    from {{ ref('int_zoom_cc__call_legs') }}
)

-- Zoom may name a queue or an agent in a leg and nowhere else.
select
    legs.*,
    coalesce(queues.queue_name, legs.queue_name_in_leg) as queue_name,
    coalesce(agents.agent_name, legs.first_agent_name_in_leg) as first_agent_name
from legs
left join {{ ref('zoom_cc__queues') }} as queues on legs.queue_key = queues.queue_key
left join {{ ref('zoom_cc__agents') }} as agents on legs.first_agent_key = agents.agent_key
