"""A machine's metadata service of one's own (IMDSv2 alone), whose notices a test gives when it wants."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

INTERRUPTION = "spot/instance-action"
REBALANCE = "events/recommendations/rebalance"
TARGET_STATE = "autoscaling/target-lifecycle-state"
TOKEN = "a-token"


@dataclass
class FakeMetadata:
    """`told` is what it answers below `meta-data/`; anything else is 404, and without a token all is 401. The next that
    ask for a token are refused while `busy` counts down."""

    address: str
    told: dict[str, str]
    busy: int = 0

    def interrupt(self, at: str = "2026-11-28T12:02:00Z") -> None:
        self.told[INTERRUPTION] = json.dumps({"action": "terminate", "time": at})

    def advise(self, at: str = "2026-11-28T12:00:00Z") -> None:
        self.told[REBALANCE] = json.dumps({"noticeTime": at})

    def end(self) -> None:
        """The group ends the machine, and waits for its hook."""
        self.told[TARGET_STATE] = "Terminated"


@contextmanager
def metadata(id: str = "i-0123456789abcdef0", *, spot: bool = True) -> Iterator[FakeMetadata]:
    told = {"instance-id": id, "instance-type": "g5.xlarge", "placement/availability-zone": "us-east-1b",
            "placement/region": "us-east-1", "instance-life-cycle": "spot" if spot else "on-demand",
            TARGET_STATE: "InService"}

    class Answers(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            if here.busy:
                here.busy -= 1
                self._answer(503, "")
                return
            asked_well = self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
            self._answer(*((200, TOKEN) if asked_well else (400, "")))

        def do_GET(self) -> None:
            if self.headers["X-aws-ec2-metadata-token"] != TOKEN:
                self._answer(401, "")
            else:
                text = told.get(self.path.removeprefix("/latest/meta-data/"))
                self._answer(*((404, "") if text is None else (200, text)))

        def _answer(self, code: int, text: str) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    here = FakeMetadata(f"http://127.0.0.1:{server.server_address[1]}", told)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
