"""The TLS context of an address: for the REST API, for the metrics, and to learn why gRPC cannot connect."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl import SSLContext


def tls_context(url: str, files: Mapping[str, str] = MappingProxyType({}), *, trust_system: bool = False) -> SSLContext:
    """A context for ``url``, which takes 50 ms for https: call it outside an event loop.

    :param files: a connection's TLS files by their settings. Without a certificate to trust, the system's authorities are
        trusted.
    :param trust_system: trust the system's authorities besides the certificate in ``files``.
    """
    from ssl import PROTOCOL_TLS_CLIENT, SSLContext, create_default_context

    if not url.startswith("https"):
        # httpx demands a context for http too, and this one costs nothing.
        return SSLContext(PROTOCOL_TLS_CLIENT)
    trusted = files.get("server_pem_path") or files.get("ca_pem_path")
    context = create_default_context(cafile=trusted)
    if trusted and trust_system:
        context.load_default_certs()
    if "client_pem_path" in files:
        context.load_cert_chain(files["client_pem_path"], files["client_key_path"])
    return context
