"""What the commands share: the server that is asked, the answer on standard output, and how a command ends.

Standard output has the answer and nothing else. What goes with it, such as a warning, and what went wrong are sentences on
standard error. Whatever else a command imports, it imports when it runs: ``airflow`` imports all commands at every start.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

from airflow.cli.cli_config import ARG_OUTPUT, Arg

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_milvus.hooks.milvus import MilvusHook

FINE, WRONG, USAGE, UNREACHED = range(4)
"""How a command ends: all is well, something does not hold, it was called wrongly, or the server cannot be asked."""
INTERRUPTED = 130
"""As shells have it."""

DEFAULT_CONN_ID = "milvus_default"
URI_CONN_ID = "--uri"
"""The connection to a server that was given by its address."""


def argument(*flags: str, **described: Any) -> Arg:
    """An argument, described as for ``argparse``."""
    return Arg(flags, **described)  # type: ignore[no-untyped-call]


SERVER = (
    argument("--conn-id", help=f"the Airflow connection (default: {DEFAULT_CONN_ID})"),
    argument("--uri", help="a server without a password, instead of a connection"),
)
DATABASES = argument("--databases", nargs="+", help="the databases, or '*' for all (default: the connection's)")
OUTPUT = ARG_OUTPUT


class UsageError(Exception):
    """The command was called wrongly; the message says how."""


def command(work: Callable[[Namespace], int]) -> Callable[[Namespace], None]:
    """``work`` as Airflow calls a command. It ends the process with the code that ``work`` returns, or its error's."""

    @functools.wraps(work)
    def carry_out(given: Namespace) -> None:
        from airflow_provider_milvus.exceptions import MilvusError, MilvusInvalidArgumentError

        # As Airflow's own commands do: its database may have the connection.
        os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
        try:
            code = work(given)
        except (UsageError, MilvusInvalidArgumentError) as error:
            code = USAGE
            tell(str(error))
        except MilvusError as error:
            code = UNREACHED
            tell(str(error))
        except BrokenPipeError:
            # Who reads has seen enough, as ``head`` has. Python would write the rest when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = FINE
        except (ConnectionError, TimeoutError):
            # Of a network we have errors of our own: this is a defect.
            raise
        except OSError as error:
            code = USAGE
            tell(f"What was asked for could not be read or written: {error}.")
        except KeyboardInterrupt:
            code = INTERRUPTED
            tell("Interrupted.")
        sys.exit(code)

    return carry_out


def hook_of(given: Namespace) -> MilvusHook:
    """The hook of the connection, or of the server at ``--uri``.

    :raises UsageError: both are given.
    """
    from airflow_provider_milvus.hooks.milvus import MilvusHook

    return MilvusHook(conn_id_of(given))


def conn_id_of(given: Namespace) -> str:
    """The id of the connection; that of a server at ``--uri`` is made for this process."""
    if not given.uri:
        return str(given.conn_id or DEFAULT_CONN_ID)
    if given.conn_id:
        raise UsageError("Give either --conn-id or --uri, not both.")
    os.environ[f"AIRFLOW_CONN_{URI_CONN_ID.upper()}"] = connection_to(given.uri)
    return URI_CONN_ID


def connection_to(uri: str) -> str:
    """A connection without a password, as Airflow reads it from the environment."""
    import json

    return json.dumps({"conn_type": "milvus", "extra": {"uri": uri}})


@contextmanager
def quiet() -> Iterator[None]:
    """Keep standard output for the answer: what else is printed goes to standard error meanwhile, and logs from warnings up."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    handlers = [handler for handler in logging.root.handlers if isinstance(handler, logging.StreamHandler)]
    for handler in handlers:
        # That of Airflow 2.11 looks for the standard output of the moment.
        if vars(handler).get("stream") is sys.stdout:
            handler.setStream(sys.stderr)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        logging.disable(before)


def show(given: Namespace, rows: Sequence[Mapping[str, object]], whole: Any) -> None:
    """Print an answer in the chosen form: ``rows`` as a table, or ``whole``, which is made of plain values."""
    from airflow.cli.simple_table import AirflowConsole
    from rich.markup import escape

    console = AirflowConsole()
    if given.output == "json":
        console.print_as_json(whole)
    elif given.output == "yaml":
        console.print_as_yaml(whole)
    elif given.output == "plain":
        console.print_as(rows, "plain")
    else:
        console.print_as([{key: escape(str(value)) for key, value in row.items()} for row in rows], "table")
    # What cannot be written is known here, and not when Python ends.
    sys.stdout.flush()


def tell(*sentences: str) -> None:
    for sentence in sentences:
        print(sentence, file=sys.stderr)


def progress(steps: Iterable[Any], name: Callable[[Any], str]) -> Iterator[Any]:
    """``steps`` as they come; a terminal shows meanwhile which was the last."""
    from rich.console import Console

    with Console(stderr=True).status("Asking …") as status:
        for step in steps:
            status.update(f"{name(step)} …")
            yield step
