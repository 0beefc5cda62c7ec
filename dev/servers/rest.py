"""A server that speaks the part of the documented REST API v2 that imports need: Milvus's, and Zilliz Cloud's variant.

No such server can be had here, so this one follows the reference documentation of both, over a real socket. Jobs go through
their states from look to look. A test bends it with steps, which take the place of an endpoint's next answers.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JOBS = "/v2/vectordb/jobs/import/"

State = tuple[str, int]
THROUGH: Sequence[State] = (("Pending", 0), ("Importing", 30), ("Importing", 70), ("Completed", 100))
FAILS: Sequence[State] = (("Importing", 30), ("Failed", 30))


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes over the wire. ``hang`` is in seconds before it, ``drip`` after each byte; ``cut`` closes instead."""

    body: Any = None
    status: int = 200
    hang: float = 0.0
    drip: float = 0.0
    cut: bool = False

    @property
    def text(self) -> bytes:
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


@dataclass(frozen=True, slots=True)
class ReceivedPost:
    endpoint: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(slots=True)
class RestJob:
    """``to_come`` are the states that the next looks see; the last one stays."""

    job_id: str
    collection: str
    files: list[list[str]]
    to_come: list[State]
    reasons: dict[str, str]
    rows_of_a_file: int
    told_files: bool = True
    now: State = ("Pending", 0)

    def look(self) -> State:
        if self.to_come:
            self.now = self.to_come.pop(0)
        return self.now


Step = Callable[["RestMilvus", dict[str, Any]], Answer | None]
"""Given the server and the request's body: the answer, or ``None`` for the server's own."""


def refuse(code: int, message: str, status: int = 200) -> Step:
    return lambda server, body: Answer({"code": code, "message": message}, status)


def status(number: int, text: str = "") -> Step:
    """The answer of a gateway in front of the server, which need not be JSON."""
    return lambda server, body: Answer(text, number)


def frozen(seconds: float = 30.0) -> Step:
    return lambda server, body: Answer({}, hang=seconds)


def dripping(seconds: float = 0.3) -> Step:
    return lambda server, body: Answer({"code": 0, "data": {}}, drip=seconds)


def unanswered(endpoint: str, hang: float = 0.0) -> Step:
    """Carry it out, but do not answer: the connection breaks, or hangs for ``hang`` seconds."""

    def step(server: RestMilvus, body: dict[str, Any]) -> Answer:
        server.carry_out(endpoint, body)
        return Answer({}, hang=hang, cut=not hang)

    return step


@dataclass
class RestMilvus:
    """``cluster_id`` makes it Zilliz Cloud. ``old`` has ``get_progress`` only, as the first servers of 2.4."""

    port: int
    token: str = ""
    cluster_id: str = ""
    old: bool = False
    collections: set[str] = field(default_factory=lambda: {"docs"})
    jobs: dict[str, RestJob] = field(default_factory=dict)
    received: list[ReceivedPost] = field(default_factory=list)
    become: Sequence[State] = THROUGH
    reasons: dict[str, str] = field(default_factory=dict)
    rows_of_a_file: int = 100
    tells_files: bool = True
    stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._steps: defaultdict[str, deque[Step]] = defaultdict(deque)
        self._lock = threading.RLock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def rows(self) -> int:
        """What all completed imports have brought."""
        return sum(job.rows_of_a_file * len(job.files) for job in self.jobs.values() if job.now[0] == "Completed")

    def next(self, endpoint: str, *steps: Step) -> None:
        self._steps[endpoint].extend(steps)

    def asked(self, endpoint: str) -> list[dict[str, Any]]:
        return [post.body for post in self.received if post.endpoint == endpoint]

    def answer(self, path: str, headers: dict[str, str], text: bytes) -> Answer:
        endpoint = path.removeprefix(JOBS)
        body = json.loads(text or b"{}")
        with self._lock:
            self.received.append(ReceivedPost(endpoint, headers, body))
            step = self._steps[endpoint].popleft() if self._steps[endpoint] else None
        made = step(self, body) if step is not None else None
        if made is not None:
            return made
        if self.token and headers.get("Authorization") != f"Bearer {self.token}":
            if self.cluster_id:
                return Answer({"code": 21119, "message": "The apikey is illegal."})
            return Answer({"code": 1800, "message": "user hasn't authenticated"}, 401)
        return self.carry_out(endpoint, body)

    def carry_out(self, endpoint: str, body: dict[str, Any]) -> Answer:
        known = {"create": self._create, "list": self._list, "get_progress": self._describe}
        act = known.get(endpoint) if self.old else {**known, "describe": self._describe}.get(endpoint)
        if act is None:
            return Answer("404 page not found", 404)
        if self.cluster_id and body.get("clusterId") != self.cluster_id:
            return Answer({"code": 80022, "message": "The cluster does not exist."})
        with self._lock:
            return act(body)

    def _create(self, body: dict[str, Any]) -> Answer:
        files = body.get("objectUrls" if self.cluster_id else "files")
        if body["collectionName"] not in self.collections:
            return Answer({"code": 100, "message": f"collection not found[collection={body['collectionName']}]"})
        if not files:
            return Answer({"code": 1802, "message": "missing required parameters, error: files"})
        number = str(448707763884413158 + len(self.jobs))
        job_id = f"job-{number}" if self.cluster_id else number
        self.jobs[job_id] = RestJob(
            job_id, body["collectionName"], files, list(self.become), self.reasons, self.rows_of_a_file, self.tells_files
        )
        return _done({"jobId": job_id})

    def _list(self, body: dict[str, Any]) -> Answer:
        jobs = [job for job in self.jobs.values() if self.cluster_id or job.collection == body["collectionName"]]
        records = [
            {"collectionName": job.collection, "jobId": job.job_id, "progress": job.now[1], "state": job.now[0]} for job in jobs
        ]
        if not self.cluster_id:
            return _done({"records": records})
        size, page = body["pageSize"], body["currentPage"]
        shown = records[(page - 1) * size : page * size]
        return _done({"count": len(records), "currentPage": page, "pageSize": size, "records": shown})

    def _describe(self, body: dict[str, Any]) -> Answer:
        job = self.jobs.get(str(body["jobId"]))
        if job is None:
            return Answer({"code": 2100, "message": f"importing data failed: import job does not exist, jobID={body['jobId']}"})
        state, progress = job.look()
        rows = job.rows_of_a_file * progress // 100
        details = [self._detail(job, number, group) for number, group in enumerate(job.files)] if job.told_files else []
        data = {
            "jobId": job.job_id,
            "collectionName": job.collection,
            "state": state,
            "progress": progress,
            "totalRows": job.rows_of_a_file * len(job.files),
            "details": details,
            "reason": next(iter(job.reasons.values()), "") if state == "Failed" else "",
        }
        # The cloud reports the total only.
        return _done(data if self.cluster_id else {**data, "importedRows": rows * len(job.files)})

    def _detail(self, job: RestJob, number: int, group: list[str]) -> dict[str, Any]:
        state, progress = job.now
        reason = next((job.reasons[path] for path in group if path in job.reasons), "") if state == "Failed" else ""
        paths = " ".join(f'paths:"{path}"' for path in group)
        name = group[0].partition("://")[2] if self.cluster_id else f"id:{int(job.job_id) + number + 1} {paths} "
        return {"fileName": name, "fileSize": 3279917, "state": state, "progress": progress, "reason": reason}


def _done(data: Any) -> Answer:
    return Answer({"code": 0, "data": data})


@contextmanager
def rest_server(**settings: Any) -> Iterator[RestMilvus]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            answer = milvus.answer(self.path, dict(self.headers), self.rfile.read(length))
            if milvus.stopping.wait(answer.hang) or answer.cut:
                self.close_connection = True
                return
            with suppress(ConnectionError):
                self.send_response(answer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer.text)))
                self.end_headers()
                for part in [answer.text] if not answer.drip else [bytes([byte]) for byte in answer.text]:
                    self.wfile.write(part)
                    if milvus.stopping.wait(answer.drip):
                        return

        def log_message(self, format: str, *arguments: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        milvus = RestMilvus(server.server_address[1], **settings)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield milvus
        finally:
            milvus.stopping.set()
            server.shutdown()
            thread.join()
