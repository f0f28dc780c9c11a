with queues as (
    select
        queue_key,
        account_id,
        queue_id,
        queue_name,
        min(start_time) as first_start_time,
        max(start_time) as last_start_time,
        count(distinct engagement_key) as engagements
    from {{ ref('zoom_cc__engagement_queues') }}
    where queue_key is not null
    group by queue_key, account_id, queue_id, queue_name
),

sub_accounts as (
    select * from {{ ref('stg_zoom_cc__sub_accounts') }}
)

select
    queues.*,
    sub_accounts.account_name
from queues
left join sub_accounts on queues.account_id = sub_accounts.account_id
