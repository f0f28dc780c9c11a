{%- set table = source('zoom_cc', 'voice_calls') -%}
{%- set raw = raw_columns(table) -%}

with latest as (
    select
        {{ raw_column(raw, 'account_id', 'text') }} as account_id,
        {{ raw_column(raw, 'engagement_id', 'text') }} as engagement_id,
        {{ raw_column(raw, 'direction', 'text') }} as direction,
        {{ raw_column(raw, 'call_legs', 'json') }} as leg_directions,
        {{ raw_column(raw, 'distributions', 'json') }} as leg_distributions,
        {{ raw_column(raw, 'types', 'json') }} as call_types,
        {{ raw_column(raw, 'sub_types', 'json') }} as leg_types,
        {{ raw_column(raw, 'caller_number', 'text') }} as caller_number,
        {{ raw_column(raw, 'caller_number_type', 'text') }} as caller_number_type,
        {{ raw_column(raw, 'callee_number', 'text') }} as callee_number,
        {{ raw_column(raw, 'callee_number_type', 'text') }} as callee_number_type,
        {{ raw_column(raw, 'start_time', 'timestamp') }} as start_time,
        {{ raw_column(raw, 'end_time', 'timestamp') }} as end_time,
        {{ raw_column(raw, 'total_duration', 'integer') }} as total_duration_seconds,
        {{ raw_column(raw, 'consumer_number', 'text') }} as consumer_number,
        {{ raw_column(raw, 'consumer_display_name', 'text') }} as consumer_display_name,
        {{ raw_column(raw, 'queues', 'json') }} as queues,
        {{ raw_column(raw, 'agents', 'json') }} as agents,
        {{ raw_column(raw, 'flows', 'json') }} as flows,
        {{ raw_column(raw, 'country_name', 'text') }} as country_name,
        {{ raw_column(raw, 'recorded', 'boolean') }} as is_recorded,
        {{ raw_column(raw, 'monitored', 'boolean') }} as is_monitored,
        {{ raw_column(raw, 'inbox', 'boolean') }} as has_inbox_message,
        {{ raw_column(raw, 'result', 'text') }} as result,
        {{ raw_column(raw, 'caller_id', 'text') }} as shown_caller_number,
        {{ raw_column(raw, 'calling_party', 'text') }} as calling_party,
        {{ raw_column(raw, 'charge', 'text') }} as charge,
        {{ raw_column(raw, 'rates', 'json') }} as rates,
        {{ raw_column(raw, 'charge_type', 'text') }} as charge_type,
        {{ raw_column(raw, 'session_border_controller_list', 'json') }} as session_border_controllers,
        {{ raw_column(raw, 'voice_call_details', 'json') }} as legs,
        {{ raw_column(raw, 'unmapped_values', 'text') }} as unmapped_values,
        {{ raw_column(raw, '_sdc_extracted_at', 'timestamp') }} as extracted_at
    from {{ latest_rows(table, raw, ['account_id', 'engagement_id']) }}
)

select
    *,
    {{ key_of(["'voice'", 'account_id', 'engagement_id']) }} as engagement_key
from latest
