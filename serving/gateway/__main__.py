"""`python -m serving.gateway`: starts the gateway, and stops it without losing anything."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence

import uvicorn
from fastapi import FastAPI

from serving import http_timeouts
from serving.gateway import flags, logs
from serving.gateway.app import create_app
from serving.gateway.catalog import upstream_tls
from serving.gateway.database import Database
from serving.gateway.gateway import open_database
from serving.gateway.settings import Settings, SettingsError
from serving.store import StoreError

_log = logging.getLogger("serving.gateway")


class _Server(uvicorn.Server):
    """uvicorn with signals of our own: it would end the process by the signal, not with 0."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, settings: Settings) -> None:
        super().__init__(config)
        self._application, self._settings = app, settings
        self._ending: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        yield
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    def _end(self) -> None:
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        """Not ready any more; still answering until load balancers have noticed."""
        self._application.state.gateway.ending = True
        _log.info("stopping")
        await asyncio.sleep(self._settings.lame_duck_seconds)
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"Gateway on http://{shown}:{port}", flush=True)


def _listen(settings: Settings) -> socket.socket:
    """A socket that listens.

    Raises:
        SettingsError: the address is taken or is not one of this machine.
    """
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
    except OSError as error:
        raise SettingsError(
            f"expected {settings.host}:{settings.port} to be free to listen on. "
            f"Received: {error.strerror or error}; choose another --port"
        ) from None
    listener.set_inheritable(False)
    return listener


def _open(settings: Settings) -> Database:
    """The database: a wrong file is a mistake, a server that is down may come back.

    Raises:
        SettingsError: the SQLite file cannot be used.
    """
    database = open_database(settings)
    try:
        database.store()
    except StoreError as error:
        if settings.store.startswith("sqlite"):
            raise SettingsError(f"store: {error}") from None
        _log.warning("starting without the database, which is tried again: %s", error)
    return database


def _check_tls(settings: Settings) -> None:
    tls = upstream_tls(settings)
    if tls is not None:
        try:
            tls.credentials()
        except ValueError as error:
            raise SettingsError(f"upstream_ca, upstream_cert, upstream_key: {error}") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until it is told to stop; returns the exit code."""
    try:
        settings = flags.parse(arguments, os.environ)
        logs.configure(settings.log_level)
        _check_tls(settings)
        listener = _listen(settings)
        database = _open(settings)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if settings.auth == "none" and not settings.loopback:
        _log.warning("everybody who reaches %s may use the models: no keys", settings.host)
    app = create_app(settings, database)
    config = http_timeouts.config(
        app,
        http=http_timeouts.protocol(settings.header_seconds, settings.body_seconds),
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.grace_seconds,
        lifespan="on",
    )
    _Server(config, app, settings).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # A call of a database that hangs may hold a thread, which must not hold the process.
    os._exit(code)
