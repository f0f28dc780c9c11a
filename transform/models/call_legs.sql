{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='engagement_key',
        on_schema_change='append_new_columns',
        post_hook="{{ delete_legs_of_older_versions() }}",
    )
}}

with voice_calls as (
    select * from {{ ref('stg_zoom_cc__voice_calls') }}
)

select
    {{ key_of(['voice_calls.engagement_key', 'legs.position']) }} as call_leg_key,
    voice_calls.engagement_key,
    voice_calls.account_id,
    voice_calls.engagement_id,
    cast(legs.position as integer) as leg_position,
    (legs.element ->> 'call_leg') as direction,
    (legs.element ->> 'distribution') as distribution,
    (legs.element ->> 'type') as call_type,
    {{ text_as_utc("(legs.element ->> 'start_time')") }} as start_time,
    {{ text_as_utc("(legs.element ->> 'end_time')") }} as end_time,
    cast((legs.element ->> 'total_duration') as bigint) as duration_seconds,
    (legs.element ->> 'result') as result,
    ((legs.element -> 'queue') ->> 'cc_queue_id') as queue_id,
    ((legs.element -> 'queue') ->> 'queue_name') as queue_name,
    ((legs.element -> 'flow') ->> 'flow_id') as flow_id,
    ((legs.element -> 'flow') ->> 'flow_name') as flow_name,
    (((legs.element -> 'agents') -> 0) ->> 'user_id') as first_agent_id,
    (((legs.element -> 'agents') -> 0) ->> 'display_name') as first_agent_name,
    {{ json_length("(legs.element -> 'agents')") }} as agent_count,
    (legs.element ->> 'calling_party') as calling_party,
    (legs.element ->> 'caller_number') as caller_number,
    (legs.element ->> 'caller_number_type') as caller_number_type,
    (legs.element ->> 'callee_number') as callee_number,
    (legs.element ->> 'callee_number_type') as callee_number_type,
    (legs.element ->> 'caller_id') as shown_caller_number,
    (legs.element ->> 'consumer_number') as consumer_number,
    (legs.element ->> 'consumer_display_name') as consumer_display_name,
    (legs.element ->> 'country_name') as country_name,
    cast((legs.element ->> 'recorded') as boolean) as is_recorded,
    cast((legs.element ->> 'monitored') as boolean) as is_monitored,
    cast((legs.element ->> 'inbox') as boolean) as has_inbox_message,
    (legs.element ->> 'charge') as charge,
    (legs.element ->> 'rate') as rate,
    (legs.element ->> 'charge_type') as charge_type,
    voice_calls.extracted_at
from voice_calls
cross join {{ json_elements('voice_calls.legs') }} as legs
{% if is_incremental() %}
-- The legs of a call that are built in its latest version stay as they are.
where
    not exists (
        select 1
        from {{ this }} as built
        where
            built.engagement_key = voice_calls.engagement_key
            and built.extracted_at = voice_calls.extracted_at
    )
{% endif %}
