{{
    config(
        materialized='incremental',
        incremental_strategy=replacement_strategy(),
        unique_key='engagement_key',
        on_schema_change='append_new_columns',
    )
}}

with voice_calls as (
    select * from {{ ref('stg_zoom_cc__voice_calls') }}
)

select
    voice_calls.engagement_key,
    voice_calls.account_id,
    voice_calls.engagement_id,
    voice_calls.direction,
    voice_calls.start_time,
    voice_calls.end_time,
    coalesce(
        voice_calls.total_duration_seconds,
        {{ seconds_between('voice_calls.start_time', 'voice_calls.end_time') }}
    ) as duration_seconds,
    voice_calls.result,
    {{ is_abandoned('voice_calls.result') }} as is_abandoned,
    {{ first_and_last_queue_and_agent('voice_calls') }},
    coalesce(
        {{ json_length('voice_calls.legs') }}, {{ json_length('voice_calls.leg_directions') }}
    ) as leg_count,
    {{ json_count_like('voice_calls.leg_types', '%transfer_call') }} as transfers,
    {{ json_count_like('voice_calls.leg_types', '%transfer_call') }} > 0 as is_transferred,
    {{ json_count_like('voice_calls.leg_types', '%conference_call') }} as conferences,
    voice_calls.calling_party,
    voice_calls.caller_number,
    voice_calls.caller_number_type,
    voice_calls.callee_number,
    voice_calls.callee_number_type,
    voice_calls.shown_caller_number,
    voice_calls.consumer_number,
    voice_calls.consumer_display_name,
    voice_calls.country_name,
    voice_calls.is_recorded,
    voice_calls.is_monitored,
    voice_calls.has_inbox_message,
    voice_calls.charge,
    {{ amount_of('voice_calls.charge') }} as charge_amount,
    voice_calls.charge_type,
    voice_calls.extracted_at
from voice_calls
{% if is_incremental() %}
-- What is built in its latest version stays as it is.
where
    not exists (
        select 1
        from {{ this }} as built
        where
            built.engagement_key = voice_calls.engagement_key
            and built.extracted_at = voice_calls.extracted_at
    )
{% endif %}
