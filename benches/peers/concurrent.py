"""Polls calendars, 32 at once, with aiohttp and asyncpg: what an experienced author of a service in Python would write.

Settings come as JSON on stdin: root (URL of the API), database (libpq keywords). Prints a line of JSON.
"""

import asyncio
import json
import shlex
import sys
import time
from urllib.parse import quote

import aiohttp
import asyncpg

CONCURRENT = 32


async def poll(session, pool, root, feed):
    """Follows one calendar's cursor to its end and stores the next one; returns the number of changed events."""
    url = f"{root}/calendar/v3/calendars/{quote(feed['email'])}/events"
    headers = {"authorization": f"Bearer {feed['access_token']}"}
    query = {
        "syncToken": feed["sync_token"],
        "showDeleted": "true",
        "maxResults": "2500",
        "fields": "items,nextPageToken,nextSyncToken",
    }
    events = 0
    while True:
        async with session.get(url, params=query, headers=headers) as response:
            response.raise_for_status()
            page = await response.json()
        events += len(page.get("items", []))
        if "nextPageToken" not in page:
            break
        query["pageToken"] = page["nextPageToken"]
    await pool.execute(
        "UPDATE peers.feeds SET sync_token = $1, polled_at = now() WHERE email = $2", page["nextSyncToken"], feed["email"]
    )
    return events


def connection(keywords):
    """The arguments of asyncpg for libpq's keywords, which it does not read."""
    given = dict(pair.split("=", 1) for pair in shlex.split(keywords))
    return {"host": given["host"], "port": int(given["port"]), "user": given["user"], "database": given["dbname"]}


async def main(settings):
    connector = aiohttp.TCPConnector(limit=CONCURRENT)
    async with (
        asyncpg.create_pool(**connection(settings["database"]), min_size=1, max_size=10) as pool,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        feeds = await pool.fetch("SELECT email, access_token, sync_token FROM peers.feeds ORDER BY email")
        started = time.perf_counter()
        remaining = iter(feeds)
        events = 0

        async def worker():
            nonlocal events
            for feed in remaining:
                events += await poll(session, pool, settings["root"], feed)

        await asyncio.gather(*(worker() for _ in range(CONCURRENT)))
        return {"polled": len(feeds), "events": events, "seconds": time.perf_counter() - started}


print(json.dumps(asyncio.run(main(json.load(sys.stdin)))))
