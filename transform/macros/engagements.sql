{#- One text from several columns: a key, for tests and joins. -#}
{% macro key_of(columns) -%}
    {%- set texts = [] -%}
    {%- for column in columns -%}
        {%- do texts.append("coalesce(cast(" ~ column ~ " as text), '-')") -%}
    {%- endfor -%}
    {{ texts | join(" || '/' || ") }}
{%- endmacro %}

{#- A timestamp in UTC on the clock that the variable zoom_cc_time_zone names. -#}
{% macro local_time(timestamp) -%}
    {%- set zone = var('zoom_cc_time_zone') -%}
    {%- if zone == 'UTC' -%}
        {{ timestamp }}
    {%- else -%}
        ({{ timestamp }} at time zone 'UTC') at time zone '{{ zone }}'
    {%- endif -%}
{%- endmacro %}

{#- What is counted of a group of engagements, the same for queues and for agents. -#}
{% macro engagement_measures() -%}
    count(*) as engagements,
    count(*) filter (where result = 'completed') as completed,
    count(*) filter (where {{ is_abandoned('result') }}) as abandoned,
    count(*) filter (where result like 'overflowed%') as overflowed,
    count(*) filter (where result in ('missed', 'declined')) as missed_or_declined,
    count(*) filter (
        where not (
            result in ('completed', 'missed', 'declined')
            or result like 'overflowed%'
            or {{ is_abandoned('result') }}
        )
    ) as other_results,
    count(*) filter (where result is null) as without_result,
    count(*) filter (where transfers > 0) as transferred,
    cast(count(*) filter (where transfers > 0) as double precision)
    / nullif(count(transfers), 0) as share_transferred,
    cast(sum(duration_seconds) as bigint) as total_duration_seconds,
    cast(avg(duration_seconds) as double precision) as mean_duration_seconds,
    cast(percentile_cont(0.5) within group (order by duration_seconds) as double precision)
        as median_duration_seconds,
    cast(percentile_cont(0.9) within group (order by duration_seconds) as double precision)
        as percentile_90_duration_seconds
{%- endmacro %}

{% macro is_abandoned(result) -%}
    {{ result }} in (
        'short_abandoned', 'long_abandoned', 'hold_abandoned', 'abandon_quit', 'callback_abandoned_by_consumer'
    )
{%- endmacro %}

{#- The first and the last queue and agent of an engagement, in the order in which Zoom lists them. -#}
{% macro first_and_last_queue_and_agent(engagements) -%}
    {%- set queues, agents = engagements ~ '.queues', engagements ~ '.agents' -%}
    {%- for position, index in (('first', 0), ('last', -1)) -%}
        {{ queue_id('(' ~ queues ~ ' -> ' ~ index ~ ')') }} as {{ position }}_queue_id,
        (({{ queues }} -> {{ index }}) ->> 'queue_name') as {{ position }}_queue_name,
        (({{ agents }} -> {{ index }}) ->> 'user_id') as {{ position }}_agent_id,
        (({{ agents }} -> {{ index }}) ->> 'display_name') as {{ position }}_agent_name,
    {%- endfor -%}
    {{ json_length(queues) }} as queue_count,
    {{ json_length(agents) }} as agent_count
{%- endmacro %}

{#- An array in a JSON value; null where it holds JSON's own null. -#}
{% macro json_array(value) -%}
    case when {{ json_length(value) }} is not null then {{ value }} end
{%- endmacro %}

{#- The id of a queue; the older of its two names in case Zoom fills but that. -#}
{% macro queue_id(queue) -%}
    coalesce(({{ queue }} ->> 'cc_queue_id'), ({{ queue }} ->> 'queue_id'))
{%- endmacro %}

{#- Deletes legs whose call has a newer version without legs: there, no new leg takes an old one's place. -#}
{% macro delete_legs_of_older_versions() -%}
    {%- if is_incremental() -%}
        delete from {{ this }} as built
        where exists (
            select 1
            from {{ ref('stg_zoom_cc__voice_calls') }} as latest
            where
                latest.engagement_key = built.engagement_key
                and latest.extracted_at is distinct from built.extracted_at
        )
    {%- endif -%}
{%- endmacro %}
