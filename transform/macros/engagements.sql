{#- One text from several columns: a key, for tests and joins. -#}
{% macro key_of(columns) -%}
    {%- set texts = [] -%}
    {%- for column in columns -%}
        {%- do texts.append("coalesce(cast(" ~ column ~ " as " ~ type_of('text') ~ "), '-')") -%}
    {%- endfor -%}
    {{ texts | join(" || '/' || ") }}
{%- endmacro %}

{#- The key of a queue or an agent: account and id, or account and name where there is no id; null where there
    is neither. -#}
{% macro key_of_named(account_id, id, name) -%}
    case
        when {{ id }} is not null then {{ key_of([account_id, id]) }}
        when {{ name }} is not null then {{ key_of([account_id, "'-'", name]) }}
    end
{%- endmacro %}

{#- Of all rows with the same key, the value in the latest engagement that has one. -#}
{% macro latest(value, key, position) -%}
    first_value({{ value }}) over (
        partition by {{ key }}
        order by
            case when {{ value }} is null then 1 else 0 end,
            start_time desc,
            engagement_key desc,
            {{ position }} desc
    )
{%- endmacro %}

{#- A timestamp in UTC on the clock that the variable zoom_cc_time_zone names. -#}
{% macro local_time(timestamp) -%}
    {%- set zone = var('zoom_cc_time_zone') -%}
    {%- if zone == 'UTC' -%}
        {{ timestamp }}
    {%- else -%}
        {{ in_zone(timestamp, zone) }}
    {%- endif -%}
{%- endmacro %}

{#- What is counted of a group of engagements, the same for queues, agents and accounts. -#}
{% macro engagement_measures() -%}
    count(*) as engagements,
    count(case when result = 'completed' then 1 end) as completed,
    count(case when is_abandoned then 1 end) as abandoned,
    count(case when result like 'overflowed%' then 1 end) as overflowed,
    count(case when result in ('missed', 'declined') then 1 end) as missed_or_declined,
    count(
        case when not (
            result in ('completed', 'missed', 'declined')
            or result like 'overflowed%'
            or is_abandoned
        ) then 1 end
    ) as other_results,
    count(case when result is null then 1 end) as without_result,
    count(case when is_transferred then 1 end) as transferred,
    cast(count(case when is_transferred then 1 end) as {{ type_of('number') }})
    / nullif(count(is_transferred), 0) as share_transferred,
    cast(sum(duration_seconds) as {{ type_of('integer') }}) as total_duration_seconds,
    cast(avg(duration_seconds) as {{ type_of('number') }}) as mean_duration_seconds,
    cast({{ percentile(0.5, 'duration_seconds') }} as {{ type_of('number') }})
        as median_duration_seconds,
    cast({{ percentile(0.9, 'duration_seconds') }} as {{ type_of('number') }})
        as percentile_90_duration_seconds
{%- endmacro %}

{% macro is_abandoned(result) -%}
    {{ result }} in (
        'short_abandoned', 'long_abandoned', 'hold_abandoned', 'abandon_quit', 'callback_abandoned_by_consumer'
    )
{%- endmacro %}

{#- The first and the last queue and agent of an engagement, in the order in which Zoom lists them. -#}
{% macro first_and_last_queue_and_agent(engagements) -%}
    {%- set account_id = engagements ~ '.account_id' -%}
    {%- set queues, agents = engagements ~ '.queues', engagements ~ '.agents' -%}
    {%- for position, index in (('first', 0), ('last', -1)) -%}
        {%- set queue, agent = json_part(queues, index), json_part(agents, index) -%}
        {{ key_of_named(account_id, queue_id(queue), json_text(queue, 'queue_name')) }} as {{ position }}_queue_key,
        {{ queue_id(queue) }} as {{ position }}_queue_id,
        {{ key_of_named(account_id, json_text(agent, 'user_id'), json_text(agent, 'display_name')) }}
            as {{ position }}_agent_key,
        {{ json_text(agent, 'user_id') }} as {{ position }}_agent_id,
    {%- endfor -%}
    {{ json_length(queues) }} as queue_count,
    {{ json_length(agents) }} as agent_count
{%- endmacro %}

{#- What a text such as `$0.019` says, as a number; null if it says more than a currency sign and a number. -#}
{% macro amount_of(text) -%}
    cast({{ matching_part(text, '^[$€£¥]?([0-9]*[.]?[0-9]+)$') }} as {{ type_of('number') }})
{%- endmacro %}

{#- For `with`: the column generated_number, from 1 on. -#}
{% macro numbers_from_1_to(last) %}{{ dbt.generate_series(last) }}{% endmacro %}

{#- A timestamp that is a number of hours after another. BigQuery adds integers only, and its powers of two, of
    which dbt makes the numbers above, are none. -#}
{% macro hours_later(timestamp, hours) -%}
    {{ dbt.dateadd('hour', 'cast(' ~ hours ~ ' as ' ~ type_of('integer') ~ ')', timestamp) }}
{%- endmacro %}

{#- An array in a JSON value; null where it holds JSON's own null. -#}
{% macro json_array(value) -%}
    case when {{ json_length(value) }} is not null then {{ value }} end
{%- endmacro %}

{#- The id of a queue; the older of its two names in case Zoom fills but that. -#}
{% macro queue_id(queue) -%}
    coalesce({{ json_text(queue, 'cc_queue_id') }}, {{ json_text(queue, 'queue_id') }})
{%- endmacro %}

{#- Deletes legs whose call has a newer version without legs: there, no new leg takes an old one's place. -#}
{% macro delete_legs_of_older_versions() -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where call_leg_key in (
            select built.call_leg_key
            from {{ this }} as built
            inner join {{ ref('stg_zoom_cc__voice_calls') }} as latest
                on built.engagement_key = latest.engagement_key
            where built.extracted_at is distinct from latest.extracted_at
        )
    {%- endif -%}
{%- endmacro %}
