{%- set table = source('zoom_cc', 'sub_accounts') -%}
{%- set raw = raw_columns(table) -%}

with latest as (
    select
        {{ raw_column(raw, 'id', 'text') }} as account_id,
        {{ raw_column(raw, 'account_name', 'text') }} as account_name,
        {{ raw_column(raw, 'account_number', 'number') }} as account_number,
        {{ raw_column(raw, 'account_type', 'text') }} as account_type,
        {{ raw_column(raw, 'created_at', 'timestamp') }} as created_at,
        {{ raw_column(raw, 'owner_email', 'text') }} as owner_email,
        {{ raw_column(raw, 'seats', 'integer') }} as seats,
        {{ raw_column(raw, 'subscription_start_time', 'timestamp') }} as subscription_start_time,
        {{ raw_column(raw, 'subscription_end_time', 'timestamp') }} as subscription_end_time,
        {{ raw_column(raw, 'reseller', 'boolean') }} as is_reseller,
        {{ raw_column(raw, 'bulk_license', 'boolean') }} as is_licensed_in_bulk,
        {{ raw_column(raw, 'unmapped_values', 'text') }} as unmapped_values,
        {{ raw_column(raw, '_sdc_extracted_at', 'timestamp') }} as extracted_at
    from {{ latest_rows(table, raw, ['id']) }}
)

select *
from latest
