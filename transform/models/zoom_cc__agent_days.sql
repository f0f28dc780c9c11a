with engagements as (
    select
        *,
        cast({{ local_time('start_time') }} as date) as day
    from {{ ref('int_zoom_cc__engagements') }}
),

-- An engagement counts once for each of its agents.
agents as (
    select distinct
        engagement_key,
        agent_key,
        agent_id,
        agent_name
    from {{ ref('zoom_cc__engagement_agents') }}
),

days as (
    select
        engagements.account_id,
        max(engagements.account_name) as account_name,
        engagements.channel,
        engagements.direction,
        agents.agent_key,
        agents.agent_id,
        agents.agent_name,
        engagements.day,
        {{ engagement_measures() }}
    from engagements
    inner join agents on engagements.engagement_key = agents.engagement_key
    group by
        engagements.account_id,
        engagements.channel,
        engagements.direction,
        agents.agent_key,
        agents.agent_id,
        agents.agent_name,
        engagements.day
)

select
    *,
    {{ key_of(['account_id', 'channel', 'direction', 'agent_key', 'day']) }} as agent_day_key
from days
