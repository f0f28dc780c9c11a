{#- Raw tables are read softly: a column that was deselected, or that an older load does not have, is
    null, and a table that was not loaded is empty. -#}

{#- The columns of a raw table by their names in lower case; none before it is loaded. -#}
{% macro raw_columns(table) -%}
    {%- set columns = {} -%}
    {%- if execute and load_relation(table) -%}
        {%- for column in adapter.get_columns_in_relation(table) -%}
            {%- do columns.update({column.name | lower: column}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(columns) }}
{%- endmacro %}

{#- A raw column in one of our types: text, integer, number, boolean, timestamp (in UTC) or json. -#}
{% macro raw_column(columns, name, kind) -%}
    {%- set raw = columns.get(name) -%}
    {%- if raw is none -%}
        cast(null as {{ type_of(kind) }})
    {%- elif kind == 'json' -%}
        {{ as_json(raw) }}
    {%- elif kind == 'timestamp' -%}
        {{ as_utc(raw) }}
    {%- else -%}
        cast({{ raw.quoted }} as {{ type_of(kind) }})
    {%- endif -%}
{%- endmacro %}

{#- The table to select from, with the latest version of each row by its key: targets that append hold
    several. The metadata of the loaders says which is the latest. -#}
{% macro latest_rows(table, columns, key) -%}
    {%- if columns -%}
        (
            select
                *,
                row_number() over (
                    partition by {{ key | join(', ') }}
                    order by
                        {{ raw_column(columns, '_sdc_extracted_at', 'timestamp') }} desc nulls last,
                        {{ raw_column(columns, '_sdc_batched_at', 'timestamp') }} desc nulls last
                ) as version
            from {{ table }}
        ) as versions
        where version = 1
    {%- else -%}
        (select 1 as nothing) as not_loaded
        where false
    {%- endif -%}
{%- endmacro %}
