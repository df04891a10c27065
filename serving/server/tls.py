"""`--ssl_config_file`: the server's certificate and, where asked for, the callers'."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path
from typing import Any

import grpc

from serving.server.errors import ConfigError
from serving.server.text_protos import read_text_proto

_FLAG = "--ssl_config_file"


def server_credentials(ssl_config_file: Path) -> grpc.ServerCredentials:
    """Reads an SSLConfig in protobuf's text format; its fields hold PEM text, not paths.

    With `client_verify: true` a caller must show a certificate that `custom_ca` signed.

    Raises:
        ConfigError: the file cannot be read, or key and certificates do not fit together.
    """
    config = read_text_proto(Path(ssl_config_file), "SSLConfig", _FLAG)
    _check(config, ssl_config_file)
    pair = (config.server_key.encode(), config.server_cert.encode())
    return grpc.ssl_server_credentials(
        [pair],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


def _check(config: Any, path: Path) -> None:
    """gRPC itself accepts anything here and then refuses every caller without a reason."""
    for field in ("server_key", "server_cert"):
        if not getattr(config, field):
            raise ConfigError(
                f"expected {path} ({_FLAG}) to hold the PEM text of a key in server_key and of "
                f"its certificate in server_cert. Received: no {field}"
            )
    if config.client_verify and not config.custom_ca:
        raise ConfigError(
            f"expected {path} ({_FLAG}) to hold in custom_ca the PEM text of the authority that "
            "signs the callers' certificates. Received: client_verify without custom_ca"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        if config.custom_ca:
            context.load_verify_locations(cadata=config.custom_ca)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"expected custom_ca in {path} to be a PEM certificate. Received: {error}"
        ) from None
    try:
        # The standard library reads a key from a file only.
        with tempfile.NamedTemporaryFile("w", encoding="ascii") as pair:
            pair.write(f"{config.server_key}\n{config.server_cert}")
            pair.flush()
            context.load_cert_chain(pair.name, password="")
    except (ssl.SSLError, UnicodeEncodeError, OSError) as error:
        raise ConfigError(
            f"expected server_key and server_cert in {path} to be an unencrypted PEM key and its "
            f"certificate. Received: {error}"
        ) from None
