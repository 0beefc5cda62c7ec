"""What Airflow reads at start-up: the provider, its connection type and the form with its defaults. It imports nothing."""

from __future__ import annotations

from typing import Any

DEFAULT_PORT = 19530
DEFAULT_DATABASE = "default"
DEFAULT_TIMEOUT = 60.0
DEFAULT_CONNECT_TIMEOUT = 10.0

GUIDES = (
    "tutorial",
    "loading-and-releasing",
    "nightly-reclaim",
    "backtest",
    "getting-it-back",
    "memory-and-use",
    "page",
    "collections",
    "partitions",
    "rows",
    "decorators",
    "documents",
    "bulk-import",
    "searching",
    "copying",
    "checks",
    "maintenance",
    "pipelines",
)
"""The pages of docs/ that tell how a job is done."""


def connection_fields() -> dict[str, dict[str, Any]]:
    """The settings in the connection's ``extra``, as the form shows them, in the order in which people fill it. Each may stay
    empty. Airflow 3.2 and later show each section by itself, earlier versions all fields in this order.
    """
    sections = {
        "Database and access": {
            "database": _text("Database", f"Empty: Milvus's own {DEFAULT_DATABASE!r}."),
            "token": _text("Token", "Instead of user and password: an API key, or user:password.", format="password"),
            "uri": _text(
                "URI",
                "Instead of host and port: http://…, https://…, unix:…, or the path of a Milvus Lite file that ends in .db.",
            ),
            "timeout": _seconds("Timeout (s)", "For one operation as a whole", DEFAULT_TIMEOUT),
            "connect_timeout": _seconds("Connect timeout (s)", "For one attempt to connect", DEFAULT_CONNECT_TIMEOUT),
        },
        "TLS": {
            "secure": {
                "label": "Use TLS",
                "description": "Implied by an https URI and by any certificate below.",
                "schema": {"type": ["boolean", "null"], "default": False},
            },
            "ca_pem_path": _text("CA certificate", "Path of the PEM file of the authority that signed the certificates."),
            "server_pem_path": _text("Server certificate", "Path of the PEM file of the trusted certificate (one-way TLS)."),
            "client_pem_path": _text("Client certificate", "Path of a PEM file; for mutual TLS, with the CA and the key."),
            "client_key_path": _text("Client key", "Path of a PEM file; for mutual TLS."),
            "server_name": _text("Server name", "The name in the server's certificate, where it differs from the host."),
        },
        "Metrics": {
            "metrics_url": _text(
                "Metrics URL",
                "Base URL of the Prometheus that scrapes this Milvus, or its own …/metrics pages, with commas.",
            ),
            "metrics_matchers": _text(
                "Metrics matchers", 'Label matchers that tell this Milvus from others in Prometheus, such as namespace="prod".'
            ),
            "proxies": {
                "label": "Proxies",
                "description": "How many proxies the Milvus has, where neither its coordinator's metrics nor the server tell.",
                "schema": {"type": ["integer", "null"], "minimum": 1},
            },
        },
        "Links": {
            "console_url": _text(
                "Console URL",
                "Base URL of Attu, or any address with {database} and {collection} in it, for a link from each task.",
            ),
        },
        "Bulk imports and Zilliz Cloud": {
            "rest_url": _text(
                "REST URL", "For bulk imports, where it is not the server's address; Zilliz Cloud's control plane."
            ),
            "cluster_id": _text("Cluster ID", "Zilliz Cloud, for bulk imports."),
            "project_id": _text("Project ID", "Zilliz Cloud, for bulk imports into a project's database; with the region."),
            "region_id": _text("Region ID", "Zilliz Cloud, with the project."),
        },
    }
    return {
        name: {**field, "schema": {**field["schema"], "section": section}}
        for section, fields in sections.items()
        for name, field in fields.items()
    }


def field_behaviour() -> dict[str, Any]:
    """How the form shows Airflow's own fields."""
    return {
        "hidden-fields": ["schema", "extra"],
        "relabeling": {"login": "User"},
        "placeholders": {"host": "milvus.example.com", "port": str(DEFAULT_PORT), "login": "root"},
    }


def asset_uris() -> list[dict[str, Any]]:
    """How Airflow reads ``milvus://`` URIs of assets."""
    module = "airflow_provider_milvus.assets"
    return [
        {
            "schemes": ["milvus"],
            "handler": f"{module}.sanitize_uri",
            "factory": f"{module}.create_asset",
            "to_openlineage_converter": f"{module}.convert_asset_to_openlineage",
        }
    ]


def get_provider_info() -> dict[str, Any]:
    """The provider, valid for Airflow's ``provider_info.schema.json`` and for what ``provider.yaml.schema.json`` has of it."""
    package = "airflow_provider_milvus"
    integration = "Milvus"
    return {
        "package-name": "airflow-provider-milvus",
        "name": "Milvus",
        "description": "Milvus, the vector database: ingest, check, load, release and reclaim its collections.",
        "integrations": [
            {
                "integration-name": integration,
                "external-doc-url": "https://milvus.io/docs",
                "how-to-guide": [f"/docs/{guide}.md" for guide in GUIDES],
                "logo": "/integration-logos/milvus.svg",
                "tags": ["software"],
            }
        ],
        **{
            kind: [{"integration-name": integration, "python-modules": [f"{package}.{kind}.milvus"]}]
            for kind in ("hooks", "operators", "sensors", "triggers")
        },
        "task-decorators": [
            {"name": f"milvus_{what}", "class-name": f"{package}.decorators.milvus.milvus_{what}_task"}
            for what in ("insert", "search", "upsert")
        ],
        "extra-links": [f"{package}.hooks.links.MilvusConsoleLink"],
        # From Airflow 3.2 on: `airflow milvus`.
        "cli": [f"{package}.cli.main.get_commands"],
        # Airflow 2.11 has datasets in place of assets.
        "asset-uris": asset_uris(),
        "dataset-uris": asset_uris(),
        "connection-types": [
            {
                "connection-type": "milvus",
                "hook-class-name": f"{package}.hooks.milvus.MilvusHook",
                "hook-name": "Milvus",
                "conn-fields": connection_fields(),
                "ui-field-behaviour": field_behaviour(),
            }
        ],
    }


def _text(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}


def _seconds(label: str, description: str, default: float) -> dict[str, Any]:
    return {
        "label": label,
        "description": f"{description}; {default:g} by default.",
        "schema": {"type": ["number", "null"], "default": default, "minimum": 0.1},
    }
