"""How a cluster is reached: its address, who asks, and whom to trust."""

from __future__ import annotations

import dataclasses
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from components.errors import ConfigError
from pipelines.kubeflow.auth import CookieFile, IdentityAwareProxy, Nobody, Secret, TokenFile


@dataclasses.dataclass(frozen=True)
class Connection:
    """Where Kubeflow Pipelines is, and how to talk to it.

    Proxies come from HTTPS_PROXY, HTTP_PROXY and NO_PROXY, as everywhere.

    Attributes:
        host: URL of the API, such as https://kubeflow.example/pipeline.
        token_file: file with a bearer token, read anew for every request, as tokens rotate.
        cookie_file: file with the value of a Cookie header, as a browser sends it.
        iap_audience: OAuth client id of Google's Identity-Aware Proxy.
        ca: file of certificates to trust beside the usual ones.
        namespace: the user's, where several share the cluster.
        home: namespace to take where several share the cluster and none is given: a pod's own.
        timeout: seconds that one request may take.
    """

    host: str
    token_file: Path | None = None
    cookie_file: Path | None = None
    iap_audience: str = ""
    ca: Path | None = None
    namespace: str = ""
    home: str = ""
    timeout: float = 30.0

    def secret(self) -> Secret:
        """What proves who asks.

        Raises:
            ConfigError: there is more than one.
        """
        given = {
            "--token-file": self.token_file and TokenFile(self.token_file),
            "--cookie-file": self.cookie_file and CookieFile(self.cookie_file),
            "--iap-audience": self.iap_audience and IdentityAwareProxy(self.iap_audience),
        }
        chosen = {option: secret for option, secret in given.items() if secret}
        if len(chosen) > 1:
            raise ConfigError(
                f"expected one of {', '.join(given)}. Received: {' and '.join(chosen)}"
            )
        return next(iter(chosen.values())) if chosen else Nobody()  # type: ignore[return-value]

    def client(self) -> httpx.Client:
        """A client that is ready to ask.

        Raises:
            ConfigError: the host is no URL, or a file cannot be read.
        """
        url = urlsplit(self.host)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ConfigError(
                "--host expects a URL such as https://kubeflow.example/pipeline. Received: "
                f"{self.host!r}"
            )
        return httpx.Client(
            base_url=self.host.rstrip("/"),
            auth=self.secret(),
            verify=self._trusted(),
            timeout=httpx.Timeout(self.timeout, connect=min(10.0, self.timeout)),
            headers={"Accept": "application/json"},
        )

    def _trusted(self) -> ssl.SSLContext:
        context = httpx.create_ssl_context()
        if self.ca is not None:
            try:
                context.load_verify_locations(self.ca)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(
                    f"--ca expects a file of certificates in PEM at {self.ca}. Received: {error}"
                ) from None
        return context
