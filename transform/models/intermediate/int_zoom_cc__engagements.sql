select
    engagement_key,
    'voice' as channel,
    account_id,
    account_name,
    direction,
    start_time,
    duration_seconds,
    result,
    transfers
from {{ ref('calls') }}
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
    cast(null as {{ type_of('integer') }}) as transfers
from {{ ref('sms_conversations') }}
