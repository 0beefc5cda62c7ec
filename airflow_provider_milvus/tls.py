"""The TLS context of an address: for the REST API, for the metrics, and to learn why gRPC cannot connect; and its files."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from airflow_provider_milvus.exceptions import MilvusConfigurationError

if TYPE_CHECKING:
    from ssl import SSLContext

_TRUSTED = ("server_pem_path", "ca_pem_path")


def tls_context(url: str, files: Mapping[str, str] = MappingProxyType({}), *, trust_system: bool = False) -> SSLContext:
    """A context for ``url``, which takes 50 ms for https: call it outside an event loop.

    :param files: a connection's TLS files by their settings. Without a certificate to trust, the system's authorities are
        trusted.
    :param trust_system: trust the system's authorities besides the certificate in ``files``.
    :raises MilvusConfigurationError: as :func:`check_files`.
    """
    from ssl import PROTOCOL_TLS_CLIENT, VERIFY_X509_PARTIAL_CHAIN, VERIFY_X509_STRICT, SSLContext, create_default_context

    if not url.startswith("https"):
        # httpx demands a context for http too, and this one costs nothing.
        return SSLContext(PROTOCOL_TLS_CLIENT)
    # A file may have changed since the connection was read.
    check_files(files)
    trusted = next((files[setting] for setting in _TRUSTED if setting in files), None)
    context = create_default_context(cafile=trusted)
    if trusted:
        # gRPC trusts a server's own certificate, whoever has signed it, and is not strict about an authority's.
        context.verify_flags = (context.verify_flags | VERIFY_X509_PARTIAL_CHAIN) & ~VERIFY_X509_STRICT
    if trusted and trust_system:
        context.load_default_certs()
    if "client_pem_path" in files:
        context.load_cert_chain(files["client_pem_path"], files["client_key_path"])
    return context


def check_files(files: Mapping[str, str]) -> None:
    """Check a connection's TLS files.

    :raises MilvusConfigurationError: one of them does not hold what its setting says. The message names the setting.
    """
    from ssl import PROTOCOL_TLS_CLIENT, SSLContext, SSLError

    context = SSLContext(PROTOCOL_TLS_CLIENT)
    for setting in (each for each in _TRUSTED if each in files):
        try:
            context.load_verify_locations(cafile=files[setting])
        except (SSLError, OSError) as error:
            raise _unusable(setting, files, "a certificate in PEM", error) from None
    if "client_pem_path" not in files:
        return
    client, key = files["client_pem_path"], files["client_key_path"]
    try:
        # A key that has a password would be asked for at the terminal.
        context.load_cert_chain(client, key, password="")
    except (SSLError, OSError) as error:
        try:
            SSLContext(PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=client)
        except (SSLError, OSError):
            raise _unusable("client_pem_path", files, "a certificate in PEM", error) from None
        raise _unusable("client_key_path", files, "the key of client_pem_path in PEM, without a password", error) from None


def _unusable(setting: str, files: Mapping[str, str], expected: str, error: OSError) -> MilvusConfigurationError:
    reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return MilvusConfigurationError(f"{setting} names a file that does not hold {expected}: {files[setting]} ({reason}).")
