with engagements as (
    select
        engagement_key,
        account_id,
        engagement_id,
        queues,
        'voice' as channel
    from {{ ref('stg_zoom_cc__voice_calls') }}
    union all
    select
        engagement_key,
        account_id,
        engagement_id,
        queues,
        'sms' as channel
    from {{ ref('stg_zoom_cc__sms') }}
)

select
    {{ key_of(['engagements.engagement_key', 'listed.position']) }} as engagement_queue_key,
    engagements.engagement_key,
    engagements.channel,
    engagements.account_id,
    engagements.engagement_id,
    cast(listed.position as {{ type_of('integer') }}) as queue_position,
    {{ queue_id('listed.element') }} as queue_id,
    {{ json_text('listed.element', 'queue_name') }} as queue_name
from engagements
cross join {{ json_elements('engagements.queues') }} as listed
