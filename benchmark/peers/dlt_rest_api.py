"""dlt's `rest_api` source: extracted, normalized and loaded as JSON lines into a folder.

Nested lists stay inside their rows, as in the tap's output (`max_table_nesting=0`): making tables
of them would take dlt longer. Everything else is dlt's default.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION"] = "true"

import dlt  # type: ignore[import-not-found]
from dlt.sources.rest_api import rest_api_source  # type: ignore[import-not-found]

job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
grant = requests.post(
    job["token_url"],
    data={"grant_type": "account_credentials", "account_id": job["account_id"]},
    auth=(job["client_id"], job["client_secret"]),
    timeout=60,
)


@dlt.resource(selected=False)  # type: ignore[untyped-decorator]
def windows() -> Iterator[list[dict[str, str]]]:
    """Yield every window of every account, as one page."""
    yield [
        {"account_id": account_id, "begin": begin, "end": end}
        for account_id in job["sub_account_ids"]
        for begin, end in job["windows"]
    ]


source = rest_api_source(
    {
        "client": {
            "base_url": job["api_url"],
            "auth": {"type": "bearer", "token": grant.json()["access_token"]},
            "paginator": {
                "type": "cursor",
                "cursor_path": "next_page_token",
                "cursor_param": "next_page_token",
            },
        },
        "resources": [
            {
                "name": stream,
                "include_from_parent": ["account_id"],
                "endpoint": {
                    "path": f"accounts/{{resources.windows.account_id}}/contact_center/{stream}",
                    "data_selector": stream,
                    "params": {
                        "from": "{resources.windows.begin}",
                        "to": "{resources.windows.end}",
                        "page_size": 100,
                        **({"view_type": "detail"} if stream == "voice_calls" else {}),
                    },
                },
            }
            for stream in job["streams"]
        ]
        + [windows()],
    },
    max_table_nesting=0,
)
with tempfile.TemporaryDirectory() as folder:
    pipeline = dlt.pipeline(
        "benchmark",
        pipelines_dir=f"{folder}/pipelines",
        destination=dlt.destinations.filesystem(f"file://{folder}/loaded"),
        dataset_name="benchmark",
    )
    pipeline.run(source, loader_file_format="jsonl").raise_on_failed_jobs()
    counts = pipeline.last_trace.last_normalize_info.row_counts
    print(json.dumps({"rows": sum(counts[stream] for stream in job["streams"])}))
