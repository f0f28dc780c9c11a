select
    engagement_key,
    'voice' as channel,
    account_id,
    account_name,
    direction,
    start_time,
    duration_seconds,
    result,
    is_abandoned,
    is_transferred
from {{ ref('zoom_cc__calls') }}
union all
select
    engagement_key,
    'sms' as channel,
    account_id,
    account_name,
    direction,
    start_time,
    duration_seconds,
    cast(null as {{ type_of('text') }}) as result,
    cast(null as {{ type_of('boolean') }}) as is_abandoned,
    cast(null as {{ type_of('boolean') }}) as is_transferred
from {{ ref('zoom_cc__sms_conversations') }}
