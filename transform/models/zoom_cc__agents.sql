with listed as (
    select
        agent_key,
        account_id,
        agent_id,
        agent_name,
        {{ latest('agent_email', 'agent_key', 'agent_position') }} as agent_email,
        {{ latest('agent_region', 'agent_key', 'agent_position') }} as agent_region,
        start_time,
        engagement_key
    from {{ ref('zoom_cc__engagement_agents') }}
    where agent_key is not null
),

agents as (
    select
        agent_key,
        account_id,
        agent_id,
        agent_name,
        agent_email,
        agent_region,
        min(start_time) as first_start_time,
        max(start_time) as last_start_time,
        count(distinct engagement_key) as engagements
    from listed
    group by agent_key, account_id, agent_id, agent_name, agent_email, agent_region
),

sub_accounts as (
    select * from {{ ref('stg_zoom_cc__sub_accounts') }}
)

select
    agents.*,
    sub_accounts.account_name
from agents
left join sub_accounts on agents.account_id = sub_accounts.account_id
