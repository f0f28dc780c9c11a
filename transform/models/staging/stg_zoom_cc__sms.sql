{%- set table = source('zoom_cc', 'sms') -%}
{%- set raw = raw_columns(table) -%}

with latest as (
    select
        {{ raw_column(raw, 'account_id', 'text') }} as account_id,
        {{ raw_column(raw, 'engagement_id', 'text') }} as engagement_id,
        {{ raw_column(raw, 'direction', 'text') }} as direction,
        {{ raw_column(raw, 'contact_center_number', 'text') }} as contact_center_number,
        {{ raw_column(raw, 'start_time', 'timestamp') }} as start_time,
        {{ raw_column(raw, 'end_time', 'timestamp') }} as end_time,
        {{ raw_column(raw, 'consumer_number', 'text') }} as consumer_number,
        {{ raw_column(raw, 'consumer_display_name', 'text') }} as consumer_display_name,
        {{ raw_column(raw, 'queues', 'json') }} as queues,
        {{ raw_column(raw, 'agents', 'json') }} as agents,
        {{ raw_column(raw, 'country_name', 'text') }} as country_name,
        {{ raw_column(raw, 'sms_types', 'json') }} as sms_types,
        {{ raw_column(raw, 'total_sent_messages', 'integer') }} as total_sent_messages,
        {{ raw_column(raw, 'total_received_messages', 'integer') }} as total_received_messages,
        {{ raw_column(raw, 'total_sent_files', 'integer') }} as total_sent_files,
        {{ raw_column(raw, 'total_received_files', 'integer') }} as total_received_files,
        {{ raw_column(raw, 'unmapped_values', 'text') }} as unmapped_values,
        {{ raw_column(raw, '_sdc_extracted_at', 'timestamp') }} as extracted_at
    from {{ latest_rows(table, raw, ['account_id', 'engagement_id']) }}
)

select
    *,
    {{ key_of(["'sms'", 'account_id', 'engagement_id']) }} as engagement_key
from latest
