with engagements as (
    select
        engagement_key,
        account_id,
        engagement_id,
        agents,
        'voice' as channel
    from {{ ref('stg_zoom_cc__voice_calls') }}
    union all
    select
        engagement_key,
        account_id,
        engagement_id,
        agents,
        'sms' as channel
    from {{ ref('stg_zoom_cc__sms') }}
)

select
    {{ key_of(['engagements.engagement_key', 'listed.position']) }} as engagement_agent_key,
    engagements.engagement_key,
    engagements.channel,
    engagements.account_id,
    engagements.engagement_id,
    cast(listed.position as {{ type_of('integer') }}) as agent_position,
    {{ json_text('listed.element', 'user_id') }} as agent_id,
    {{ json_text('listed.element', 'display_name') }} as agent_name,
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
