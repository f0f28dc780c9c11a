{{
    config(
        materialized='incremental',
        incremental_strategy=replacement_strategy(),
        unique_key=replacement_key('call_leg_key', 'engagement_key'),
        on_schema_change='append_new_columns',
        post_hook="{{ delete_legs_of_older_versions() }}",
    )
}}

with voice_calls as (
    select * from {{ ref('stg_zoom_cc__voice_calls') }}
)

select
    {{ key_of(['voice_calls.engagement_key', 'leg.position']) }} as call_leg_key,
    voice_calls.engagement_key,
    voice_calls.account_id,
    voice_calls.engagement_id,
    cast(leg.position as {{ type_of('integer') }}) as leg_position,
    {{ json_text('leg.element', 'call_leg') }} as direction,
    {{ json_text('leg.element', 'distribution') }} as distribution,
    {{ json_text('leg.element', 'type') }} as call_type,
    {{ text_as_utc(json_text('leg.element', 'start_time')) }} as start_time,
    {{ text_as_utc(json_text('leg.element', 'end_time')) }} as end_time,
    cast({{ json_text('leg.element', 'total_duration') }} as {{ type_of('integer') }}) as duration_seconds,
    {{ json_text('leg.element', 'result') }} as result,
    {{ queue_id(json_part('leg.element', 'queue')) }} as queue_id,
    {{ json_text(json_part('leg.element', 'queue'), 'queue_name') }} as queue_name_in_leg,
    {{ json_text(json_part('leg.element', 'flow'), 'flow_id') }} as flow_id,
    {{ json_text(json_part('leg.element', 'flow'), 'flow_name') }} as flow_name,
    {{ json_text(json_part(json_part('leg.element', 'agents'), 0), 'user_id') }} as first_agent_id,
    {{ json_text(json_part(json_part('leg.element', 'agents'), 0), 'display_name') }}
        as first_agent_name_in_leg,
    {{ json_length(json_part('leg.element', 'agents')) }} as agent_count,
    {{ json_text('leg.element', 'calling_party') }} as calling_party,
    {{ json_text('leg.element', 'caller_number') }} as caller_number,
    {{ json_text('leg.element', 'caller_number_type') }} as caller_number_type,
    {{ json_text('leg.element', 'callee_number') }} as callee_number,
    {{ json_text('leg.element', 'callee_number_type') }} as callee_number_type,
    {{ json_text('leg.element', 'caller_id') }} as shown_caller_number,
    {{ json_text('leg.element', 'consumer_number') }} as consumer_number,
    {{ json_text('leg.element', 'consumer_display_name') }} as consumer_display_name,
    {{ json_text('leg.element', 'country_name') }} as country_name,
    cast({{ json_text('leg.element', 'recorded') }} as {{ type_of('boolean') }}) as is_recorded,
    cast({{ json_text('leg.element', 'monitored') }} as {{ type_of('boolean') }}) as is_monitored,
    cast({{ json_text('leg.element', 'inbox') }} as {{ type_of('boolean') }}) as has_inbox_message,
    {{ json_text('leg.element', 'charge') }} as charge,
    {{ amount_of(json_text('leg.element', 'charge')) }} as charge_amount,
    {{ json_text('leg.element', 'rate') }} as rate,
    {{ amount_of(json_text('leg.element', 'rate')) }} as rate_amount,
    {{ json_text('leg.element', 'charge_type') }} as charge_type,
    voice_calls.extracted_at
from voice_calls
cross join {{ json_elements('voice_calls.legs') }} as leg
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
