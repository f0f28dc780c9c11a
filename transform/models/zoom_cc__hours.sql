with engagements as (
    select {{ hour_of(local_time('start_time')) }} as hour_start
    from {{ ref('int_zoom_cc__engagements') }}
),

extent as (
    select
        min(hour_start) as first_hour,
        max(hour_start) as last_hour
    from engagements
),

-- Enough for almost fifteen years: how many there are is not known before the query runs.
numbers as (
    {{ numbers_from_1_to(131072) }}
),

hours as (
    select {{ hours_later('extent.first_hour', 'numbers.generated_number - 1') }} as hour_start
    from extent
    cross join numbers
)

select
    hours.hour_start,
    cast(hours.hour_start as date) as day,
    cast(extract(hour from hours.hour_start) as {{ type_of('integer') }}) as hour_of_day,
    {{ day_of_week('hours.hour_start') }} as day_of_week
from hours
cross join extent
where hours.hour_start <= extent.last_hour
