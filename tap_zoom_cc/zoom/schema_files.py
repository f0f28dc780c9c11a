"""The JSON schemas of the package: rows by stream name, query parameters by ``<stream>_filters``.

They are plain files, derived from Zoom's OpenAPI documents by ``schemas/derive.py``, and read once.
"""

from __future__ import annotations

import importlib.resources

from singer_sdk.schema.source import SchemaDirectory

SCHEMAS = SchemaDirectory(importlib.resources.files("tap_zoom_cc.schemas"))
