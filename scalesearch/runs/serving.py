"""A run's live page on this machine: a read-only server on loopback that follows the log."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from scalesearch.errors import InputError
from scalesearch.plain_data import PlainDict
from scalesearch.report import live_page, page, plotly_js
from scalesearch.runs.artifacts import read_run
from scalesearch.runs.live import Follower
from scalesearch.trials import Trial

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.5  # between two looks at the log
QUIET_SECONDS = 5.0  # after which a status is sent although no trial has ended
LOCAL_NAMES = ("127.0.0.1", "localhost")


@contextmanager
def live_server(folder: Path, port: int = 0) -> Iterator[str]:
    """Serves a run's live page while the block runs; yields its address.

    Nothing is written; any number of viewers may come and go.

    Args:
        folder: The run's folder.
        port: The port; any free one by default.

    Raises:
        InputError: If it is no run's folder, or the port is taken.
    """
    Follower(folder, str(folder))
    try:
        server = _Server((LOOPBACK, port), partial(_Handler, folder))
    except OSError as error:
        raise InputError(f"cannot be used: {error.strerror}", f"port {port}") from None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def updates(follower: Follower) -> Iterator[PlainDict]:
    """Yields what the page gets: first all trials so far, then those that have ended since, and the status."""
    sent_at = 0.0
    while True:
        trials = follower.new_trials()
        if trials or time.monotonic() - sent_at >= QUIET_SECONDS:
            sent_at, status = time.monotonic(), follower.status()
            yield {"status": status.to_dict(), "trials": [_row(follower, trial) for trial in trials]}
            if status.state == "finished":
                return
        time.sleep(POLL_SECONDS)


def cost_axis(follower: Follower) -> str:
    """Returns the counted cost that scores are drawn over."""
    objectives = follower.driver.study.objectives
    return "macs" if follower.driver.study.training is not None or not objectives else objectives[0]


def _row(follower: Follower, trial: Trial) -> PlainDict:
    score = None if trial.early else trial.scores.get(follower.driver.study.evaluator.score.key)
    cost = trial.cost | trial.scores
    return {
        "name": trial.name,
        "step": follower.display.titles.get(trial.step, trial.step),
        "score": score,
        "x": cost.get(cost_axis(follower)),
        "macs": trial.cost.get("macs"),
        "params": trial.cost.get("params"),
        "seconds": trial.seconds,
        "outcome": trial.reason or ("did not train" if trial.untrained else "stopped early" if trial.early else ""),
    }


class _Server(ThreadingHTTPServer):
    """A server whose viewers may go at any moment."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Prints nothing of a viewer that has gone, since the terminal shows the run."""


class _Handler(BaseHTTPRequestHandler):
    """Answers GET for the page, its script, its events and the report so far."""

    protocol_version = "HTTP/1.1"

    def __init__(self, folder: Path, *arguments: object):
        self.folder = folder
        super().__init__(*arguments)  # type: ignore[arg-type]  # as http.server calls it

    def do_GET(self) -> None:
        """Answers a request; one that names another host is refused, as pages of others would make it."""
        if self.headers.get("Host", "").partition(":")[0] not in LOCAL_NAMES:
            self._send(403, "text/plain", "only for this machine")
        elif (path := self.path.partition("?")[0]) == "/":
            follower = Follower(self.folder, str(self.folder))
            score = follower.driver.study.evaluator.score
            axis = {"macs": "MACs"}.get(cost_axis(follower), cost_axis(follower))
            self._send(
                200, "text/html", live_page(follower.driver.study.name, axis, score.key, follower.display.percent)
            )
        elif path == "/plotly.js":
            self._send(200, "text/javascript", plotly_js())
        elif path == "/events":
            self._stream()
        elif path == "/report":
            try:
                self._send(200, "text/html", page(read_run(self.folder, str(self.folder))))
            except InputError as error:
                self._send(404, "text/plain", str(error))
        else:
            self._send(404, "text/plain", "there is nothing here")

    def _send(self, code: int, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            for update in updates(Follower(self.folder, str(self.folder))):
                self.wfile.write(f"data: {json.dumps(update)}\n\n".encode())
                self.wfile.flush()
        except OSError:  # the viewer has gone
            self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Prints nothing: the terminal shows the run."""
