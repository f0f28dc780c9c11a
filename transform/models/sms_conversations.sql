with sms as (
    select * from {{ ref('stg_zoom_cc__sms') }}
),

sub_accounts as (
    select * from {{ ref('stg_zoom_cc__sub_accounts') }}
)

select
    sms.engagement_key,
    sms.account_id,
    sub_accounts.account_name,
    sms.engagement_id,
    sms.direction,
    sms.start_time,
    sms.end_time,
    {{ seconds_between('sms.start_time', 'sms.end_time') }} as duration_seconds,
    {{ first_and_last_queue_and_agent('sms') }},
    sms.contact_center_number,
    sms.consumer_number,
    sms.consumer_display_name,
    sms.country_name,
    sms.total_sent_messages,
    sms.total_received_messages,
    sms.total_sent_files,
    sms.total_received_files,
    sms.extracted_at
from sms
left join sub_accounts on sms.account_id = sub_accounts.account_id
