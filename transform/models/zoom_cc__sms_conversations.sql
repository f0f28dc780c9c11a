with sms as (
    select
        sms.engagement_key,
        sms.account_id,
        sms.engagement_id,
        sms.direction,
        sms.start_time,
        sms.end_time,
        {{ seconds_between('sms.start_time', 'sms.end_time') }} as duration_seconds,
        {{ first_and_last_queue_and_agent('sms') }},
        sms.contact_center_number,
        sms.consumer_number,
        sms.consumer_display_name,
        sms.country_name,
        sms.total_sent_messages,
        sms.total_received_messages,
        sms.total_sent_files,
        sms.total_received_files,
        sms.extracted_at
    from {{ ref('stg_zoom_cc__sms') }} as sms
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
    sms.*,
    sub_accounts.account_name,
    first_queues.queue_name as first_queue_name,
    last_queues.queue_name as last_queue_name,
    first_agents.agent_name as first_agent_name,
    last_agents.agent_name as last_agent_name
from sms
left join sub_accounts on sms.account_id = sub_accounts.account_id
left join queues as first_queues on sms.first_queue_key = first_queues.queue_key
left join queues as last_queues on sms.last_queue_key = last_queues.queue_key
left join agents as first_agents on sms.first_agent_key = first_agents.agent_key
left join agents as last_agents on sms.last_agent_key = last_agents.agent_key
