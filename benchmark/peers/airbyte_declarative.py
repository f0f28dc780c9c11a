"""airbyte-cdk's declarative source: the manifest beside this file, records to standard output."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import requests
import yaml
from airbyte_cdk.entrypoint import launch  # type: ignore[import-not-found]
from airbyte_cdk.models import (  # type: ignore[import-not-found]
    ConfiguredAirbyteCatalogSerializer,
)
from airbyte_cdk.sources.declarative.concurrent_declarative_source import (  # type: ignore[import-not-found]
    ConcurrentDeclarativeSource,
)

job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
grant = requests.post(
    job["token_url"],
    data={"grant_type": "account_credentials", "account_id": job["account_id"]},
    auth=(job["client_id"], job["client_secret"]),
    timeout=60,
)
manifest = yaml.safe_load(Path(__file__).with_name("airbyte_manifest.yaml").read_text("utf-8"))
if job["requests_per_second"]:
    manifest["api_budget"]["policies"][0]["rates"][0]["limit"] = job["requests_per_second"]
else:
    del manifest["api_budget"]
config = {
    "api_url": job["api_url"],
    "token": grant.json()["access_token"],
    "account_ids": job["sub_account_ids"],
    "begin": job["begin"],
    "end": job["end"],
}
catalog = {
    "streams": [
        {
            "stream": {
                "name": stream,
                "json_schema": {},
                "supported_sync_modes": ["full_refresh", "incremental"],
            },
            "sync_mode": "incremental",
            "destination_sync_mode": "append",
        }
        for stream in job["streams"]
    ]
}
source = ConcurrentDeclarativeSource(
    source_config=manifest,
    config=config,
    catalog=ConfiguredAirbyteCatalogSerializer.load(catalog),
    state=[],
)
with tempfile.TemporaryDirectory() as folder:
    paths = {name: Path(folder) / f"{name}.json" for name in ("config", "catalog")}
    paths["config"].write_text(json.dumps(config), "utf-8")
    paths["catalog"].write_text(json.dumps(catalog), "utf-8")
    launch(source, ["read", *(f"--{name}={path}" for name, path in paths.items())])
