with engagements as (
    select
        engagement_key,
        account_id,
        engagement_id,
        start_time,
        queues,
        'voice' as channel
    from {{ ref('stg_zoom_cc__voice_calls') }}
    union all
    select
        engagement_key,
        account_id,
        engagement_id,
        start_time,
        queues,
        'sms' as channel
    from {{ ref('stg_zoom_cc__sms') }}
),

listed as (
    select
        {{ key_of(['engagements.engagement_key', 'listed.position']) }} as engagement_queue_key,
        engagements.engagement_key,
        engagements.channel,
        engagements.account_id,
        engagements.engagement_id,
        engagements.start_time,
        cast(listed.position as {{ type_of('integer') }}) as queue_position,
        {{ queue_id('listed.element') }} as queue_id,
        {{ json_text('listed.element', 'queue_name') }} as name_in_list
    from engagements
    cross join {{ json_elements('engagements.queues') }} as listed
),

keyed as (
    select
        *,
        {{ key_of_named('account_id', 'queue_id', 'name_in_list') }} as queue_key
    from listed
)

select
    engagement_queue_key,
    engagement_key,
    channel,
    account_id,
    engagement_id,
    start_time,
    queue_position,
    queue_key,
    queue_id,
    {{ latest('name_in_list', 'queue_key', 'queue_position') }} as queue_name
from keyed
