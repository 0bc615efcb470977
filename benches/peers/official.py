"""Polls calendars one after the other, as Google's guide to incremental synchronization does: the official client and psycopg.

Settings come as JSON on stdin: root (URL of the API), database (libpq keywords). Prints a line of JSON.
"""

import json
import sys
import time

import httplib2
import psycopg
from google.oauth2.credentials import Credentials
from google_auth_httplib2 import AuthorizedHttp
from googleapiclient.discovery import build

settings = json.load(sys.stdin)
# One service and one connection for all users: building either for each of them would be slower.
http = httplib2.Http()
service = build("calendar", "v3", http=http, static_discovery=True, client_options={"api_endpoint": settings["root"]})
polled = events = 0
with psycopg.connect(settings["database"]) as connection:
    feeds = connection.execute("SELECT email, access_token, sync_token FROM peers.feeds ORDER BY email").fetchall()
    started = time.perf_counter()
    for email, access_token, sync_token in feeds:
        authorized = AuthorizedHttp(Credentials(access_token), http=http)
        page_token = None
        while True:
            request = service.events().list(
                calendarId=email,
                syncToken=sync_token,
                pageToken=page_token,
                showDeleted=True,
                maxResults=2500,
                fields="items,nextPageToken,nextSyncToken",
            )
            page = request.execute(http=authorized)
            events += len(page.get("items", []))
            page_token = page.get("nextPageToken")
            if page_token is None:
                break
        connection.execute(
            "UPDATE peers.feeds SET sync_token = %s, polled_at = now() WHERE email = %s", (page["nextSyncToken"], email)
        )
        connection.commit()
        polled += 1
    print(json.dumps({"polled": polled, "events": events, "seconds": time.perf_counter() - started}))
