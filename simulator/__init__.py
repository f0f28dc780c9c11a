"""A simulator of the Zoom endpoints that tap-zoom-cc reads.

No test, demo or benchmark can ask the real Zoom for rows, so this package stands in for it. It
answers as Zoom's OpenAPI documents say, can be switched to every reading of what those documents
leave open, misbehaves on request, and knows the truth about the engagements that it serves.

It is built on Starlette, run by uvicorn: a small, long-kept ASGI framework whose own share of the
processor time is low enough for a benchmark of the client, and which lets an answer be delayed,
cut short or withheld. JSON goes through msgspec, which decodes straight into the scenario's
dataclasses.

It is a development tool and not part of the wheel. ``python -m simulator --help`` starts it by
hand; `simulator.process.SimulatorProcess` starts it from Python.
"""
