"""The least that reading takes: page after page with requests, decode, add the key, write.

What a script for one afternoon would do, with the fastest parser: no retries, no schema, no state,
nothing side by side. Run as ``python bare_loop.py JOB.json``, where the job is what
`benchmark.job.Job.document` holds; the rows leave as JSON lines.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import requests

job = msgspec.json.decode(Path(sys.argv[1]).read_bytes())
decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode
write = sys.stdout.buffer.write

with requests.Session() as session:
    grant = session.post(
        job["token_url"],
        data={"grant_type": "account_credentials", "account_id": job["account_id"]},
        auth=(job["client_id"], job["client_secret"]),
        timeout=60,
    )
    session.headers["Authorization"] = f"Bearer {grant.json()['access_token']}"
    for stream in job["streams"]:
        for account_id in job["sub_account_ids"]:
            url = f"{job['api_url']}/accounts/{account_id}/contact_center/{stream}"
            for begin, end in job["windows"]:
                query = {"from": begin, "to": end, "page_size": "100", "next_page_token": ""}
                if stream == "voice_calls":
                    query["view_type"] = "detail"
                while True:
                    response = session.get(url, params=query, timeout=60)
                    response.raise_for_status()
                    page = decode(response.content)
                    for row in page[stream]:
                        row["account_id"] = account_id
                        write(encode(row))
                        write(b"\n")
                    query["next_page_token"] = page["next_page_token"]
                    if not query["next_page_token"]:
                        break
