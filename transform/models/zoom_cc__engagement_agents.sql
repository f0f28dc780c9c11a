with engagements as (
    select
        engagement_key,
        account_id,
        engagement_id,
        start_time,
        agents,
        'voice' as channel
    from {{ ref('stg_zoom_cc__voice_calls') }}
    union all
    select
        engagement_key,
        account_id,
        engagement_id,
        start_time,
        agents,
        'sms' as channel
    from {{ ref('stg_zoom_cc__sms') }}
),

listed as (
    select
        {{ key_of(['engagements.engagement_key', 'listed.position']) }} as engagement_agent_key,
        engagements.engagement_key,
        engagements.channel,
        engagements.account_id,
        engagements.engagement_id,
        engagements.start_time,
        cast(listed.position as {{ type_of('integer') }}) as agent_position,
        {{ json_text('listed.element', 'user_id') }} as agent_id,
        {{ json_text('listed.element', 'display_name') }} as name_in_list,
        {{ json_text('listed.element', 'user_email') }} as agent_email,
        {{ json_text('listed.element', 'user_region') }} as agent_region,
        {{ json_array(json_part('listed.element', 'team_ids')) }} as team_ids,
        {{ json_array(json_part('listed.element', 'team_names')) }} as team_names,
        {{ json_text('listed.element', 'user_ip_address') }} as user_ip_address,
        {{ json_text('listed.element', 'user_device_mac_address') }} as user_device_mac_address,
        {{ json_text('listed.element', 'user_registered_sip_zone') }} as user_registered_sip_zone,
        {{ json_text('listed.element', 'sip_zone_ip_address') }} as sip_zone_ip_address
    from engagements
    cross join {{ json_elements('engagements.agents') }} as listed
),

keyed as (
    select
        *,
        {{ key_of_named('account_id', 'agent_id', 'name_in_list') }} as agent_key
    from listed
)

select
    engagement_agent_key,
    engagement_key,
    channel,
    account_id,
    engagement_id,
    start_time,
    agent_position,
    agent_key,
    agent_id,
    {{ latest('name_in_list', 'agent_key', 'agent_position') }} as agent_name,
    agent_email,
    agent_region,
    team_ids,
    team_names,
    user_ip_address,
    user_device_mac_address,
    user_registered_sip_zone,
    sip_zone_ip_address
from keyed
