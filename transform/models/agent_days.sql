with engagements as (
    select
        *,
        cast({{ local_time('start_time') }} as date) as day
    from {{ ref('int_zoom_cc__engagements') }}
),

-- An engagement counts once for each of its agents. An agent without an id is told by the name.
agents as (
    select
        engagement_key,
        agent_id,
        case when agent_id is null then agent_name end as name_without_id,
        max(agent_name) as agent_name
    from {{ ref('engagement_agents') }}
    group by engagement_key, agent_id, name_without_id
),

days as (
    select
        engagements.account_id,
        max(engagements.account_name) as account_name,
        engagements.channel,
        engagements.direction,
        agents.agent_id,
        max(agents.agent_name) as agent_name,
        engagements.day,
        {{ engagement_measures() }}
    from engagements
    inner join agents on engagements.engagement_key = agents.engagement_key
    group by
        engagements.account_id,
        engagements.channel,
        engagements.direction,
        agents.agent_id,
        agents.name_without_id,
        engagements.day
)

select
    *,
    {{ key_of(['account_id', 'channel', 'direction', 'agent_id', 'agent_name', 'day']) }} as agent_day_key
from days
