"""The part of Pomona's HTTP API that workers need, for Twisted."""

import json
from io import BytesIO
from urllib.parse import quote

from twisted.internet import defer
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, readBody
from twisted.web.http_headers import Headers

CONNECT_SECONDS = 10
ANSWER_SECONDS = 60


class PomonaProblem(Exception):
    """Pomona refused a request: what it said, by its HTTP status. Asking again does not help."""

    def __init__(self, status, detail):
        super().__init__(f"Pomona answered {status}: {detail}")
        self.status = status


class PomonaUnreachable(Exception):
    """No answer, or one that tells of a passing failure. Asking again may help."""


class PomonaClient:
    """`url` is the controller's; `token` an API token of the role `submitter`, or what returns one."""

    def __init__(self, reactor, url, token):
        self._reactor = reactor
        self._base = url.rstrip("/") + "/api/v1"
        self._token = token
        pool = HTTPConnectionPool(reactor)
        # The master's log is not for each request.
        pool._factory = type("QuietFactory", (pool._factory,), {"noisy": False})
        self._agent = Agent(reactor, connectTimeout=CONNECT_SECONDS, pool=pool)

    def submit(self, job, key):
        """Submits a job; the same key gives the same job."""
        return self._call("POST", "/jobs", job, {"Idempotency-Key": [key]})

    def job(self, job_id):
        return self._call("GET", f"/jobs/{quote(job_id, safe='')}")

    def cancel(self, job_id):
        return self._call("POST", f"/jobs/{quote(job_id, safe='')}/cancel")

    def why(self, job_id):
        """Why a job waits, as `pomona job why` tells it."""
        return self._call("GET", f"/jobs/{quote(job_id, safe='')}/why")

    @defer.inlineCallbacks
    def unfinished(self):
        """All jobs that did not end yet."""
        found = []
        for state in ("queued", "assigned", "running"):
            after = None
            while True:
                more = "" if after is None else f"&after={quote(after, safe='')}"
                page = yield self._call("GET", f"/jobs?limit=1000&state={state}{more}")
                found.extend(page["items"])
                after = page.get("next")
                if after is None:
                    break
        return found

    @defer.inlineCallbacks
    def _call(self, method, path, body=None, headers=None):
        token = self._token() if callable(self._token) else self._token
        sent = {"Authorization": [f"Bearer {token}"], "Accept": ["application/json"], **(headers or {})}
        producer = None
        if body is not None:
            sent["Content-Type"] = ["application/json"]
            producer = FileBodyProducer(BytesIO(json.dumps(body).encode()))
        asked = self._agent.request(
            method.encode(), (self._base + path).encode(), Headers(sent), producer
        )
        asked.addTimeout(ANSWER_SECONDS, self._reactor)
        try:
            response = yield asked
            reading = readBody(response)
            reading.addTimeout(ANSWER_SECONDS, self._reactor)
            text = yield reading
        except Exception as error:
            raise PomonaUnreachable(f"{self._base} does not answer: {error}") from error
        if response.code in (408, 429) or response.code >= 500:
            raise PomonaUnreachable(f"{self._base} answered {response.code}")
        try:
            answer = json.loads(text) if text else None
        except ValueError as error:
            raise PomonaUnreachable(f"{self._base} answered what is no JSON") from error
        if response.code >= 400:
            detail = (answer or {}).get("detail") or (answer or {}).get("title") or "no reason given"
            raise PomonaProblem(response.code, detail)
        return answer
