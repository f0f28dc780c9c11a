{#- All SQL that differs between DuckDB and PostgreSQL, and nothing else. -#}

{#- The type of a JSON value. -#}
{% macro json_type() %}{{ return(adapter.dispatch('json_type', 'zoom_contact_center')()) }}{% endmacro %}
{% macro duckdb__json_type() %}{{ return('json') }}{% endmacro %}
{% macro postgres__json_type() %}{{ return('jsonb') }}{% endmacro %}

{#- A raw column as JSON: targets store an array as JSON, as an array of the database, or as text. -#}
{% macro as_json(raw) %}{{ return(adapter.dispatch('as_json', 'zoom_contact_center')(raw)) }}{% endmacro %}
{% macro duckdb__as_json(raw) %}{{ return('cast(' ~ raw.quoted ~ ' as json)') }}{% endmacro %}
{% macro postgres__as_json(raw) -%}
    {{ return('cast(' ~ raw.quoted ~ ' as jsonb)' if raw.is_string() else 'to_jsonb(' ~ raw.quoted ~ ')') }}
{%- endmacro %}

{#- A text that holds an instant with its offset, as a timestamp in UTC. -#}
{% macro text_as_utc(text) -%}
    {{ return(adapter.dispatch('text_as_utc', 'zoom_contact_center')(text)) }}
{%- endmacro %}
{#- DuckDB's timestamp heeds the offset of a text, PostgreSQL's does not. -#}
{% macro duckdb__text_as_utc(text) %}{{ return('cast(' ~ text ~ ' as timestamp)') }}{% endmacro %}
{% macro postgres__text_as_utc(text) -%}
    {{ return('cast(' ~ text ~ " as timestamp with time zone) at time zone 'UTC'") }}
{%- endmacro %}

{#- How many elements a JSON array has; null if it is none. -#}
{% macro json_length(array) %}{{ return(adapter.dispatch('json_length', 'zoom_contact_center')(array)) }}{% endmacro %}
{% macro duckdb__json_length(array) -%}
    {{ return("case json_type(" ~ array ~ ") when 'ARRAY' then json_array_length(" ~ array ~ ") end") }}
{%- endmacro %}
{% macro postgres__json_length(array) -%}
    {{ return("case jsonb_typeof(" ~ array ~ ") when 'array' then jsonb_array_length(" ~ array ~ ") end") }}
{%- endmacro %}

{#- How many texts of a JSON array match a pattern of `like`; null if there is no array. -#}
{% macro json_count_like(array, pattern) -%}
    {{ return(adapter.dispatch('json_count_like', 'zoom_contact_center')(array, pattern)) }}
{%- endmacro %}
{% macro duckdb__json_count_like(array, pattern) -%}
    len([text for text in from_json({{ array }}, '["VARCHAR"]') if text like '{{ pattern }}'])
{%- endmacro %}
{% macro postgres__json_count_like(array, pattern) -%}
    case when jsonb_typeof({{ array }}) = 'array' then (
        select count(*) from jsonb_array_elements_text({{ array }}) as texts (text) where text like '{{ pattern }}'
    ) end
{%- endmacro %}

{#- For `cross join`: the objects in a JSON array, with their position from 1 on. -#}
{% macro json_elements(array) -%}
    {{ return(adapter.dispatch('json_elements', 'zoom_contact_center')(array)) }}
{%- endmacro %}
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
