"""What Zoom sends and no column takes is loaded all the same, in the column `unmapped_values`.

The tap's command line reads a server that answers with rows as they are written here, byte for
byte: no JSON library would write some of them. What becomes of each value is in `test_rows.py`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import STREAMS
from tests.harness.raw_server import Reply, answering
from tests.harness.singer import selecting
from tests.harness.tap import run_tap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.process import TapRun
    from tests.harness.singer import Record

END = "2024-01-20T00:00:00+00:00"
DEEP = b"[" * 5000 + b"]" * 5000
DIGITS = b"9" * 5000
FITTING = b'{"engagement_id": "fits", "start_time": "2024-01-02T03:04:05Z"}'


def engagement(fields: bytes, name: bytes = b"odd") -> bytes:
    """Return an engagement with some fields besides its key and start."""
    return FITTING.replace(b"fits", name)[:-1] + b", " + fields + b"}"


@contextmanager
def zoom(**rows: list[bytes]) -> Iterator[dict[str, object]]:
    """Serve rows of any stream, in one account; give the settings that lead there."""
    rows = {"accounts": rows.pop("sub_accounts", [b'{"id": "account"}']), **rows}

    def answer(path: str) -> Reply:
        if path.startswith("/oauth"):
            return Reply(b'{"access_token": "token", "expires_in": 3600}')
        name = path.partition("?")[0].rpartition("/")[2]
        found = rows.get(name, [])
        body = b'{"%b": [%b], "total_records": %d, "next_page_token": ""}'
        return Reply(body % (name.encode(), b", ".join(found), len(found)))

    with answering(answer) as url:
        yield {
            "account_id": "master",
            "client_id": "client",
            "client_secret": "secret",
            "api_url": url,
            "token_url": f"{url}/oauth/token",
            "start_date": "2024-01-01",
            "end_date": END,
            "requests_per_second": 1000,
        }


def records(run: TapRun, stream: str) -> list[Record]:
    """Return a stream's rows with all columns, as a target gets them."""
    messages = [m for m in run.messages if m["type"] == "RECORD" and m["stream"] == stream]
    return [message["record"] for message in messages]


def sync_of_sms(*fields: bytes, **options: Any) -> TapRun:  # noqa: ANN401 (settings, and a catalog)
    """Run the tap on sms with these fields, each in a row of its own, after one that fits."""
    odd = [engagement(part, b"odd%d" % number) for number, part in enumerate(fields)]
    catalog = options.pop("catalog", None)
    with zoom(sms=[*odd, FITTING]) as config:
        return run_tap({**config, **options}, catalog=catalog).check()


def warnings_about(run: TapRun, words: str) -> list[str]:
    return [line for line in run.logged("WARNING") if words in line]


def pointing(pointer: str, value: bytes) -> str:
    """Return the column's text for one value."""
    return f'{{"{pointer}":{value.decode()}}}'


# A row's ID, what is in the row, the field that is named, and what the column holds.
ODD = [
    (b"number", '"größe": 1.50'.encode(), "größe", '{"/größe":1.50}'),
    (b"in a list", b'"agents": [{}, {"a/b": {}}]', "agents[].a/b", '{"/agents/1/a~1b":{}}'),
    (b"unfit", b'"country_name": {"a": 1e2}', "country_name", '{"/country_name":{"a":1e2}}'),
    (b"no date", b'"end_time": "soon"', "end_time", '{"/end_time":"soon"}'),
    (b"deep", b'"deep": %b' % DEEP, "deep", pointing("/deep", DEEP)),
    (b"no text", b'"direction": %b' % DEEP, "direction", pointing("/direction", DEEP)),
    (b"digits", b'"many": %b' % DIGITS, "many", pointing("/many", DIGITS)),
    (b"of the tap's", b'"account_id": "other"', "account_id", '{"/account_id":"other"}'),
    (b"half", rb'"half": "\ud83d"', "half", '{"/half":"\ufffd"}'),
    (b"latin", b'"latin": "J\xfcrgen"', "latin", '{"/latin":"J\ufffdrgen"}'),
]


@pytest.mark.parametrize("stream", STREAMS)
def test_no_value_ends_an_account_and_each_field_is_named(stream: str) -> None:
    rows = [engagement(fields, name) for name, fields, _, _ in ODD]
    with zoom(**{stream: [*rows, FITTING]}) as config:
        run = run_tap(config).check()

    found = {row["engagement_id"]: row["unmapped_values"] for row in records(run, stream)}
    assert found.pop("fits") is None
    (summary,) = [line for line in run.lines if f"Summary of {stream}: " in line]
    counted = summary.partition(", rows with unmapped values: ")[2]
    for row_id, _, field, expected in ODD:
        name = row_id.decode()
        assert found.pop(name) == expected
        told = [line for line in warnings_about(run, f"field {field} ") if "U+FFFD" not in line]
        assert len(told) == 1
        assert f"| {stream}: " in told[0]
        assert f"engagement_id {name}" in told[0]
        assert f"{field} 1" in counted
    assert not found
    assert {row["account_id"] for row in records(run, stream)} == {"account"}
    assert len(warnings_about(run, "U+FFFD")) == 2
    assert run.state["bookmarks"][stream]["partitions"][0]["replication_key_value"] == END


def test_no_value_ends_the_list_of_accounts_and_a_number_is_a_key() -> None:
    rows = [
        b'{"id": "odd", "new": %b, "created_at": "soon", "owner_email": {"a": 1e2}}' % DEEP,
        b'{"id": 7, "account_name": "J\xfcrgen"}',
    ]
    engagements = [FITTING.replace(b'"fits"', b"12345678901234567890")]
    with zoom(sub_accounts=rows, sms=engagements) as config:
        run = run_tap(config).check()
    odd, number = records(run, "sub_accounts")
    keys = {(row["account_id"], row["engagement_id"]) for row in records(run, "sms")}
    assert keys == {(account, "12345678901234567890") for account in ("odd", "7")}
    kept = pointing("/created_at", b'"soon","/new":%b,"/owner_email":{"a":1e2}' % DEEP)
    assert odd["unmapped_values"] == kept
    assert (number["id"], number["account_name"]) == ("7", "J\ufffdrgen")
    for field in ("new", "created_at", "owner_email", "account_name"):
        (line,) = warnings_about(run, f"field {field} ")
        assert "sub_accounts: " in line


def test_a_field_is_warned_about_once_and_its_rows_are_counted() -> None:
    run = sync_of_sms(b'"new": 1', b'"new": 2, "direction": {}', b'"new": 3')
    assert len(warnings_about(run, "field new")) == 1
    (summary,) = [line for line in run.lines if "Summary of sms: " in line]
    assert summary.endswith("rows with unmapped values: new 3, direction 1")


def test_ever_new_names_are_not_all_warned_about() -> None:
    run = sync_of_sms(*(b'"new%d": 1' % number for number in range(300)))
    assert len(records(run, "sms")) == 301
    assert len(warnings_about(run, "schema does not have")) == 101


def test_a_name_of_any_kind_is_shown_in_one_short_line() -> None:
    names = (b"a\\nb", b"x" * 100_000, b"a | ERROR | b", b"")
    with zoom(sms=[engagement(b'"%b": 1' % name, b"ID" + name) for name in names]) as config:
        run = run_tap(config).check()
    lines = warnings_about(run, "schema does not have")
    assert len(lines) == len(names)
    assert all("(first in the row with engagement_id ID" in line for line in lines)
    assert all(len(line) < 500 for line in lines)


@pytest.mark.parametrize("catalog_is_older", [False, True])
def test_without_the_column_the_loss_is_said(
    discovered: dict[str, Any], *, catalog_is_older: bool
) -> None:
    catalog = selecting(discovered, ["sms"], without=["unmapped_values"])
    for entry in catalog["streams"] if catalog_is_older else ():
        # A version without the column has printed the catalog.
        del entry["schema"]["properties"]["unmapped_values"]
        entry["metadata"] = [
            part for part in entry["metadata"] if part["breadcrumb"][-1:] != ["unmapped_values"]
        ]
    run = sync_of_sms(b'"new": "value"', b'"new": 1, "direction": {}', catalog=catalog)
    assert len(records(run, "sms")) == 3
    assert b"unmapped_values" not in run.stdout
    for field in ("new", "direction"):
        (line,) = warnings_about(run, f"field {field}")
        assert "is lost: select unmapped_values" in line


@pytest.mark.parametrize("deselected", [(), ("direction", "queues")])
def test_every_record_has_every_selected_column_and_nothing_of_another(
    discovered: dict[str, Any], deselected: tuple[str, ...]
) -> None:
    # Some targets take their columns from the first record, and drop what it lacks.
    odd = b'"new": 1, "direction": {"secret": 1}, "queues": [{"secret": "\\ud800"}]'
    rows = [FITTING, engagement(odd), engagement(b'"country_name": [1]', b"another")]
    number_of_rows = {"sms": 3, "voice_calls": 3, "sub_accounts": 1}
    catalog = selecting(discovered, number_of_rows, without=deselected)
    with zoom(sms=rows, voice_calls=rows) as config:
        run = run_tap(config, catalog=catalog).check()
    schemas = {m["stream"]: m["schema"] for m in run.messages if m["type"] == "SCHEMA"}
    for stream, number in number_of_rows.items():
        columns = schemas[stream]["properties"].keys()
        assert len(columns) > 5
        assert not columns & set(deselected)
        assert [row.keys() ^ columns for row in records(run, stream)] == [set()] * number
    assert (b"secret" in run.stdout) is not bool(deselected)
    assert len(warnings_about(run, "field ")) == 2 * (2 if deselected else 5)


def test_a_catalog_may_declare_what_the_schema_does_not(discovered: dict[str, Any]) -> None:
    catalog = selecting(discovered, ["sms"])
    (sms,) = [entry for entry in catalog["streams"] if entry["tap_stream_id"] == "sms"]
    declared = {"new": {}, "x-new": {"type": "integer"}, "a.b": {"type": "string"}}
    sms["schema"]["properties"] |= declared
    fields = b'"new": [1.5, {"a": null}], "x-new": 7, "a.b": "c", "": 1'
    run = sync_of_sms(fields, b'"new": ' + DEEP, catalog=catalog)
    names = [*declared, "unmapped_values"]
    assert [[row[name] for name in names] for row in records(run, "sms")] == [
        [None] * 4,
        [[1.5, {"a": None}], 7, "c", '{"/":1}'],
        [None, None, None, pointing("/new", DEEP)],
    ]


def test_a_stream_map_leaves_the_column_out_or_uses_it() -> None:
    value = "json.loads(record['unmapped_values'])['/new'] if record['unmapped_values'] else None"
    maps = {"sms": {"unmapped_values": "__NULL__", "new": value}}
    run = sync_of_sms(b'"new": 1, "phone": "+49123"', stream_maps=maps)
    messages = [str(message) for message in run.messages if message.get("stream") == "sms"]
    assert not [each for each in messages if "unmapped_values" in each or "+49123" in each]
    assert [row["new"] for row in records(run, "sms")] == [None, 1]


def test_flattening_leaves_the_column_as_it_is() -> None:
    nested = b'"new": {"a": {"b": [1.50]}}'
    run = sync_of_sms(nested, flattening_enabled=True, flattening_max_depth=5)
    kept = [row["unmapped_values"] for row in records(run, "sms")]
    assert kept == [None, '{"/new":{"a":{"b":[1.50]}}}']
