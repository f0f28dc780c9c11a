with calls as (
    select * from {{ ref('int_zoom_cc__calls') }}
),

sub_accounts as (
    select * from {{ ref('stg_zoom_cc__sub_accounts') }}
),

queues as (
    select * from {{ ref('zoom_cc__queues') }}
),

agents as (
    select * from {{ ref('zoom_cc__agents') }}
)

select
    calls.*,
    sub_accounts.account_name,
    first_queues.queue_name as first_queue_name,
    last_queues.queue_name as last_queue_name,
    first_agents.agent_name as first_agent_name,
    last_agents.agent_name as last_agent_name
from calls
left join sub_accounts on calls.account_id = sub_accounts.account_id
left join queues as first_queues on calls.first_queue_key = first_queues.queue_key
left join queues as last_queues on calls.last_queue_key = last_queues.queue_key
left join agents as first_agents on calls.first_agent_key = first_agents.agent_key
left join agents as last_agents on calls.last_agent_key = last_agents.agent_key
