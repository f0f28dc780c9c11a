"""The JSON schemas of the tap's streams and filters, derived from Zoom's OpenAPI documents.

`sms.json`, `voice_calls.json` and `sub_accounts.json` describe records; `sms_filters.json` and
`voice_calls_filters.json` describe the query parameters that the settings of these names may
hold. `derive.py` writes them all; only their descriptions are edited by hand. In the repository,
`zoom_facts.openapi.json` is what the documents say, without their prose.
"""
