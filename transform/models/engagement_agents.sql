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
    cast(listed.position as integer) as agent_position,
    (listed.element ->> 'user_id') as agent_id,
    (listed.element ->> 'display_name') as agent_name,
    (listed.element ->> 'user_email') as agent_email,
    (listed.element ->> 'user_region') as agent_region,
    {{ json_array("(listed.element -> 'team_ids')") }} as team_ids,
    {{ json_array("(listed.element -> 'team_names')") }} as team_names,
    (listed.element ->> 'user_ip_address') as user_ip_address,
    (listed.element ->> 'user_device_mac_address') as user_device_mac_address,
    (listed.element ->> 'user_registered_sip_zone') as user_registered_sip_zone,
    (listed.element ->> 'sip_zone_ip_address') as sip_zone_ip_address
from engagements
cross join {{ json_elements('engagements.agents') }} as listed
