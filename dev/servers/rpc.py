"""Milvus's service over a socket, for the servers that are written here: a call by its name and the types of its descriptor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dev.servers.dialects import Refusal

LARGE_MESSAGES = (("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20))
"""As Milvus's own ``proxy.grpc.serverMaxRecvSize``."""


class MilvusHandler:
    """Answer every call with ``answer(name, request, context)``: a response, its fields, a refusal, or ``NotImplemented``."""

    def __init__(self, answer: Callable[[str, Any, Any], Any]) -> None:
        self._answer = answer

    @staticmethod
    def methods() -> Any:
        from pymilvus.grpc_gen import milvus_pb2

        return milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"].methods_by_name

    def service(self, details: Any) -> Any:
        import grpc

        method = self.methods().get(details.method.rpartition("/")[2])
        if method is None:
            return None
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._response(method, request, context),
            request_deserializer=method.input_type._concrete_class.FromString,
            response_serializer=method.output_type._concrete_class.SerializeToString,
        )

    def _response(self, method: Any, request: Any, context: Any) -> Any:
        import grpc

        response = method.output_type._concrete_class()
        answer = self._answer(method.name, request, context)
        if answer is NotImplemented:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{method.name} is not played")
        return as_response(response, answer)


def as_response(response: Any, answer: Any) -> Any:
    """An answer as a response of the type of ``response``, which is empty."""
    if isinstance(answer, Refusal):
        status = response.status if "status" in response.DESCRIPTOR.fields_by_name else response
        status.code, status.error_code, status.reason = answer.code, answer.error_code, answer.reason
        if answer.is_input_error:
            status.extra_info["is_input_error"] = "true"
        return response
    return answer if isinstance(answer, type(response)) else type(response)(**answer)


def keys_of(request: Any, primary: str) -> list[Any]:
    """The keys of the rows in a write."""
    scalars = next(field.scalars for field in request.fields_data if field.field_name == primary)
    return [*scalars.long_data.data, *scalars.string_data.data]
