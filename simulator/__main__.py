"""Start the simulator: ``python -m simulator``."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
import time
from pathlib import Path

import msgspec
import uvicorn

from simulator.app import build_app
from simulator.control import Stage
from simulator.demo import demo_scenario
from simulator.scenario import Scenario, load

_HOST = "127.0.0.1"
_PARENT_WATCH_SECONDS = 0.5
_LAST_ANSWERS_SECONDS = 1


class _Server(uvicorn.Server):
    """A server that can cut the connection of one caller."""

    def abort_connection(self, client: tuple[str, int]) -> None:
        """Close the connection from that address and port at once, unanswered."""
        for connection in list(self.server_state.connections):
            if getattr(connection, "client", None) == client and connection.transport is not None:
                connection.transport.abort()


def _leave_with_parent() -> None:
    """End at once when the process that started this one is gone: there is nothing to keep."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_WATCH_SECONDS)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Serve until the process is told to stop, or its parent ends."""
    arguments = _parse_arguments()
    scenario = demo_scenario() if arguments.demo else _read(arguments.scenario)
    listener = _listen(arguments.port)
    url = f"http://{_HOST}:{listener.getsockname()[1]}"
    app = build_app(Stage(scenario))
    server = _Server(
        uvicorn.Config(
            app,
            log_level="critical",
            access_log=False,
            date_header=False,
            lifespan="off",
            timeout_graceful_shutdown=_LAST_ANSWERS_SECONDS,
        )
    )
    app.state.server = server
    _leave_with_parent()
    sys.stdout.write(_announcement(url, scenario) + "\n")
    sys.stdout.flush()
    server.run(sockets=[listener])


def _listen(port: int) -> socket.socket:
    """Listen before anything is announced, so that no caller comes too early.

    Answers leave at once: with Nagle's algorithm each would wait for the caller's delayed
    acknowledgement, 40 ms on Linux.
    """
    try:
        listener = socket.create_server((_HOST, port), backlog=2048)
    except OSError as error:
        sys.exit(f"Port {port} cannot be used: {error.strerror}")
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="Simulate the Zoom endpoints that tap-zoom-cc reads, on the loopback address.",
    )
    parser.add_argument(
        "--port", type=int, default=0, help="port; 0, the default, takes a free one"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--scenario", type=Path, help="a JSON file with the scenario to serve")
    source.add_argument("--demo", action="store_true", help="serve the demo's scenario")
    return parser.parse_args()


def _read(path: Path | None) -> Scenario:
    if path is None:
        return Scenario()
    try:
        return load(path.read_bytes())
    except (OSError, ValueError) as error:
        sys.exit(f"{path} holds no scenario: {error}")


def _announcement(url: str, scenario: Scenario) -> str:
    """Give the line that tells a parent process where the simulator listens and who may enter."""
    return msgspec.json.encode(
        {
            "api_url": f"{url}/v2",
            "token_url": f"{url}/oauth/token",
            "url": url,
            "client_id": scenario.client_id,
            "client_secret": scenario.client_secret,
            "account_id": scenario.account_id,
        }
    ).decode()


if __name__ == "__main__":
    main()
