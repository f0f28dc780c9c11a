{#- All SQL that differs between the databases, and nothing else: DuckDB, PostgreSQL, Snowflake, BigQuery.
    A macro named `default__` serves those that have none of their own. -#}

{#- Our types: text, integer, number, boolean, timestamp (in UTC, without saying so) and json. -#}
{% macro type_of(kind) %}{{ return(adapter.dispatch('type_of', 'zoom_contact_center')(kind)) }}{% endmacro %}
{% macro duckdb__type_of(kind) -%}
    {{ return({
        'text': 'text', 'integer': 'bigint', 'number': 'double precision',
        'boolean': 'boolean', 'timestamp': 'timestamp', 'json': 'json',
    }[kind]) }}
{%- endmacro %}
{% macro postgres__type_of(kind) -%}
    {{ return({
        'text': 'text', 'integer': 'bigint', 'number': 'double precision',
        'boolean': 'boolean', 'timestamp': 'timestamp', 'json': 'jsonb',
    }[kind]) }}
{%- endmacro %}
{% macro snowflake__type_of(kind) -%}
    {{ return({
        'text': 'varchar', 'integer': 'bigint', 'number': 'double precision',
        'boolean': 'boolean', 'timestamp': 'timestamp_ntz', 'json': 'variant',
    }[kind]) }}
{%- endmacro %}
{% macro bigquery__type_of(kind) -%}
    {{ return({
        'text': 'string', 'integer': 'int64', 'number': 'float64',
        'boolean': 'bool', 'timestamp': 'datetime', 'json': 'json',
    }[kind]) }}
{%- endmacro %}

{#- A raw column as JSON. -#}
{% macro as_json(raw) %}{{ return(adapter.dispatch('as_json', 'zoom_contact_center')(raw)) }}{% endmacro %}
{% macro duckdb__as_json(raw) %}{{ return('cast(' ~ raw.quoted ~ ' as json)') }}{% endmacro %}
{% macro postgres__as_json(raw) -%}
    {{ return('cast(' ~ raw.quoted ~ ' as jsonb)' if raw.is_string() else 'to_jsonb(' ~ raw.quoted ~ ')') }}
{%- endmacro %}
{% macro snowflake__as_json(raw) -%}
    {{ return('parse_json(' ~ raw.quoted ~ ')' if raw.is_string() else raw.quoted) }}
{%- endmacro %}
{% macro bigquery__as_json(raw) -%}
    {{ return('parse_json(' ~ raw.quoted ~ ')' if raw.is_string() and raw.mode != 'REPEATED' else 'to_json(' ~ raw.quoted ~ ')') }}
{%- endmacro %}

{#- A raw instant as a timestamp in UTC. -#}
{% macro as_utc(raw) %}{{ return(adapter.dispatch('as_utc', 'zoom_contact_center')(raw)) }}{% endmacro %}
{% macro default__as_utc(raw) -%}
    {%- if raw.is_string() -%}
        {{ return(text_as_utc(raw.quoted)) }}
    {%- elif 'with time zone' in raw.dtype | lower -%}
        {{ return(raw.quoted ~ " at time zone 'UTC'") }}
    {%- else -%}
        {{ return('cast(' ~ raw.quoted ~ ' as timestamp)') }}
    {%- endif -%}
{%- endmacro %}
{% macro snowflake__as_utc(raw) -%}
    {%- if raw.is_string() -%}
        {{ return(text_as_utc(raw.quoted)) }}
    {%- elif raw.dtype | upper in ('TIMESTAMP_TZ', 'TIMESTAMP_LTZ') -%}
        {{ return("cast(convert_timezone('UTC', " ~ raw.quoted ~ ") as timestamp_ntz)") }}
    {%- else -%}
        {{ return('cast(' ~ raw.quoted ~ ' as timestamp_ntz)') }}
    {%- endif -%}
{%- endmacro %}
{% macro bigquery__as_utc(raw) -%}
    {{ return(text_as_utc(raw.quoted) if raw.is_string() else "datetime(" ~ raw.quoted ~ ")") }}
{%- endmacro %}

{#- A text that holds an instant with its offset, as a timestamp in UTC. -#}
{% macro text_as_utc(text) %}{{ return(adapter.dispatch('text_as_utc', 'zoom_contact_center')(text)) }}{% endmacro %}
{% macro duckdb__text_as_utc(text) %}{{ return('cast(' ~ text ~ ' as timestamp)') }}{% endmacro %}
{% macro postgres__text_as_utc(text) -%}
    {{ return('cast(' ~ text ~ " as timestamp with time zone) at time zone 'UTC'") }}
{%- endmacro %}
{% macro snowflake__text_as_utc(text) -%}
    {{ return("cast(convert_timezone('UTC', cast(" ~ text ~ " as timestamp_tz)) as timestamp_ntz)") }}
{%- endmacro %}
{% macro bigquery__text_as_utc(text) %}{{ return("datetime(timestamp(" ~ text ~ "))") }}{% endmacro %}

{#- A timestamp in UTC on the clock of a time zone. -#}
{% macro in_zone(timestamp, zone) %}{{ return(adapter.dispatch('in_zone', 'zoom_contact_center')(timestamp, zone)) }}{% endmacro %}
{% macro default__in_zone(timestamp, zone) %}{{ return("(" ~ timestamp ~ " at time zone 'UTC') at time zone '" ~ zone ~ "'") }}{% endmacro %}
{% macro snowflake__in_zone(timestamp, zone) %}{{ return("convert_timezone('UTC', '" ~ zone ~ "', " ~ timestamp ~ ")") }}{% endmacro %}
{% macro bigquery__in_zone(timestamp, zone) %}{{ return("datetime(timestamp(" ~ timestamp ~ "), '" ~ zone ~ "')") }}{% endmacro %}

{#- The begin of the hour of a timestamp. -#}
{% macro hour_of(timestamp) %}{{ return(adapter.dispatch('hour_of', 'zoom_contact_center')(timestamp)) }}{% endmacro %}
{% macro default__hour_of(timestamp) %}{{ return("date_trunc('hour', " ~ timestamp ~ ")") }}{% endmacro %}
{% macro bigquery__hour_of(timestamp) %}{{ return("datetime_trunc(" ~ timestamp ~ ", hour)") }}{% endmacro %}

{#- The day of the week of a timestamp, from 1 for Monday to 7 for Sunday. -#}
{% macro day_of_week(timestamp) %}{{ return(adapter.dispatch('day_of_week', 'zoom_contact_center')(timestamp)) }}{% endmacro %}
{% macro default__day_of_week(timestamp) %}{{ return("cast(extract(isodow from " ~ timestamp ~ ") as " ~ type_of('integer') ~ ")") }}{% endmacro %}
{% macro snowflake__day_of_week(timestamp) %}{{ return("dayofweekiso(" ~ timestamp ~ ")") }}{% endmacro %}
{% macro bigquery__day_of_week(timestamp) %}{{ return("mod(extract(dayofweek from " ~ timestamp ~ ") + 5, 7) + 1") }}{% endmacro %}

{#- Whole seconds from one timestamp to another. -#}
{% macro seconds_between(begin, end) %}{{ return(adapter.dispatch('seconds_between', 'zoom_contact_center')(begin, end)) }}{% endmacro %}
{% macro default__seconds_between(begin, end) %}{{ return("cast(extract(epoch from " ~ end ~ " - " ~ begin ~ ") as bigint)") }}{% endmacro %}
{% macro snowflake__seconds_between(begin, end) %}{{ return("datediff('second', " ~ begin ~ ", " ~ end ~ ")") }}{% endmacro %}
{% macro bigquery__seconds_between(begin, end) %}{{ return("datetime_diff(" ~ end ~ ", " ~ begin ~ ", second)") }}{% endmacro %}

{#- The text of a timestamp to the second, as part of a key. A cast in Snowflake follows the session's format. -#}
{% macro text_of_time(timestamp) %}{{ return(adapter.dispatch('text_of_time', 'zoom_contact_center')(timestamp)) }}{% endmacro %}
{% macro default__text_of_time(timestamp) %}{{ return("cast(" ~ timestamp ~ " as " ~ type_of('text') ~ ")") }}{% endmacro %}
{% macro snowflake__text_of_time(timestamp) %}{{ return("to_char(" ~ timestamp ~ ", 'YYYY-MM-DD HH24:MI:SS')") }}{% endmacro %}

{#- A part of a JSON value: by name, or by position from 0 on, or -1 for the last. -#}
{% macro json_part(value, part) %}{{ return(adapter.dispatch('json_part', 'zoom_contact_center')(value, part)) }}{% endmacro %}
{% macro default__json_part(value, part) -%}
    {{ return("(" ~ value ~ " -> " ~ (part if part is number else "'" ~ part ~ "'") ~ ")") }}
{%- endmacro %}
{% macro snowflake__json_part(value, part) -%}
    {%- if part is number and part < 0 -%}
        {{ return("get(" ~ value ~ ", array_size(" ~ value ~ ") - 1)") }}
    {%- else -%}
        {{ return("get(" ~ value ~ ", " ~ (part if part is number else "'" ~ part ~ "'") ~ ")") }}
    {%- endif -%}
{%- endmacro %}
{% macro bigquery__json_part(value, part) -%}
    {%- if part is number and part < 0 -%}
        {{ return("array_reverse(json_query_array(" ~ value ~ "))[safe_offset(0)]") }}
    {%- elif part is number -%}
        {{ return("json_query(" ~ value ~ ", '$[" ~ part ~ "]')") }}
    {%- else -%}
        {{ return("json_query(" ~ value ~ ", '$." ~ part ~ "')") }}
    {%- endif -%}
{%- endmacro %}

{#- A named part of a JSON value as text. -#}
{% macro json_text(value, name) %}{{ return(adapter.dispatch('json_text', 'zoom_contact_center')(value, name)) }}{% endmacro %}
{% macro default__json_text(value, name) %}{{ return("(" ~ value ~ " ->> '" ~ name ~ "')") }}{% endmacro %}
{% macro snowflake__json_text(value, name) %}{{ return("cast(get(" ~ value ~ ", '" ~ name ~ "') as varchar)") }}{% endmacro %}
{% macro bigquery__json_text(value, name) %}{{ return("json_value(" ~ value ~ ", '$." ~ name ~ "')") }}{% endmacro %}

{#- How many elements a JSON array has; null if it is none. -#}
{% macro json_length(array) %}{{ return(adapter.dispatch('json_length', 'zoom_contact_center')(array)) }}{% endmacro %}
{% macro duckdb__json_length(array) -%}
    {{ return("case json_type(" ~ array ~ ") when 'ARRAY' then json_array_length(" ~ array ~ ") end") }}
{%- endmacro %}
{% macro postgres__json_length(array) -%}
    {{ return("case jsonb_typeof(" ~ array ~ ") when 'array' then jsonb_array_length(" ~ array ~ ") end") }}
{%- endmacro %}
{% macro snowflake__json_length(array) %}{{ return("array_size(" ~ array ~ ")") }}{% endmacro %}
{% macro bigquery__json_length(array) %}{{ return("array_length(json_query_array(" ~ array ~ "))") }}{% endmacro %}

{#- How many texts of a JSON array match a pattern of `like`; null if there is no array. -#}
{% macro json_count_like(array, pattern) %}{{ return(adapter.dispatch('json_count_like', 'zoom_contact_center')(array, pattern)) }}{% endmacro %}
{% macro duckdb__json_count_like(array, pattern) -%}
    len([text for text in from_json({{ array }}, '["VARCHAR"]') if text like '{{ pattern }}'])
{%- endmacro %}
{% macro postgres__json_count_like(array, pattern) -%}
    case when jsonb_typeof({{ array }}) = 'array' then (
        select count(*) from jsonb_array_elements_text({{ array }}) as texts (text) where text like '{{ pattern }}'
    ) end
{%- endmacro %}
{% macro snowflake__json_count_like(array, pattern) -%}
    case when array_size({{ array }}) is not null then (
        select count(*) from table(flatten(input => {{ array }})) as texts where cast(texts.value as varchar) like '{{ pattern }}'
    ) end
{%- endmacro %}
{% macro bigquery__json_count_like(array, pattern) -%}
    case when json_query_array({{ array }}) is not null then (
        select count(*) from unnest(json_value_array({{ array }})) as text where text like '{{ pattern }}'
    ) end
{%- endmacro %}

{#- For `cross join`: the objects in a JSON array, with their position from 1 on. -#}
{% macro json_elements(array) %}{{ return(adapter.dispatch('json_elements', 'zoom_contact_center')(array)) }}{% endmacro %}
{% macro duckdb__json_elements(array) -%}
    lateral (
        select
            element,
            position
        from (
            select
                unnest(from_json({{ array }}, '["JSON"]')) as element,
                generate_subscripts(from_json({{ array }}, '["JSON"]'), 1) as position
        ) as numbered
        where json_type(element) = 'OBJECT'
    )
{%- endmacro %}
{% macro postgres__json_elements(array) -%}
    lateral (
        select
            element,
            position
        from jsonb_array_elements(case jsonb_typeof({{ array }}) when 'array' then {{ array }} end)
            with ordinality as numbered (element, position)
        where jsonb_typeof(element) = 'object'
    )
{%- endmacro %}
{% macro snowflake__json_elements(array) -%}
    lateral (
        select
            flattened.value as element,
            flattened.index + 1 as position
        from table(flatten(input => {{ array }})) as flattened
        where is_object(flattened.value)
    )
{%- endmacro %}
{% macro bigquery__json_elements(array) -%}
    unnest(array(
        select as struct
            element,
            place + 1 as position
        from unnest(json_query_array({{ array }})) as element with offset as place
        where json_type(element) = 'object'
    ))
{%- endmacro %}

{#- What the group in a regular expression matches in a text; null where the expression does not match. -#}
{% macro matching_part(text, pattern) %}{{ return(adapter.dispatch('matching_part', 'zoom_contact_center')(text, pattern)) }}{% endmacro %}
{% macro duckdb__matching_part(text, pattern) %}{{ return("nullif(regexp_extract(" ~ text ~ ", '" ~ pattern ~ "', 1), '')") }}{% endmacro %}
{% macro postgres__matching_part(text, pattern) %}{{ return("substring(" ~ text ~ " from '" ~ pattern ~ "')") }}{% endmacro %}
{% macro snowflake__matching_part(text, pattern) %}{{ return("regexp_substr(" ~ text ~ ", '" ~ pattern ~ "', 1, 1, 'e', 1)") }}{% endmacro %}
{% macro bigquery__matching_part(text, pattern) %}{{ return("regexp_extract(" ~ text ~ ", '" ~ pattern ~ "')") }}{% endmacro %}

{#- The exact percentile of a column in a group, between two values if need be. BigQuery has it for windows
    only. -#}
{% macro percentile(fraction, column) %}{{ return(adapter.dispatch('percentile', 'zoom_contact_center')(fraction, column)) }}{% endmacro %}
{% macro default__percentile(fraction, column) %}{{ return("percentile_cont(" ~ fraction ~ ") within group (order by " ~ column ~ ")") }}{% endmacro %}
{% macro bigquery__percentile(fraction, column) -%}
    {{ return("(select percentile_cont(duration, " ~ fraction ~ ") over () from unnest(array_agg(" ~ column ~ " ignore nulls)) as duration limit 1)") }}
{%- endmacro %}

{#- How an incremental model replaces rows. BigQuery's adapter cannot delete and insert; it merges. -#}
{% macro replacement_strategy() %}{{ return(adapter.dispatch('replacement_strategy', 'zoom_contact_center')()) }}{% endmacro %}
{% macro default__replacement_strategy() %}{{ return('delete+insert') }}{% endmacro %}
{% macro bigquery__replacement_strategy() %}{{ return('merge') }}{% endmacro %}

{#- The key by which rows are replaced: that of all rows of an engagement where they are deleted and inserted,
    that of each row where they are merged. -#}
{% macro replacement_key(row_key, engagement_key) %}{{ return(adapter.dispatch('replacement_key', 'zoom_contact_center')(row_key, engagement_key)) }}{% endmacro %}
{% macro default__replacement_key(row_key, engagement_key) %}{{ return(engagement_key) }}{% endmacro %}
{% macro bigquery__replacement_key(row_key, engagement_key) %}{{ return(row_key) }}{% endmacro %}
