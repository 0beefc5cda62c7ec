"""Milvus servers to run against: each starts on free ports of the loopback interface and is stopped by its pid."""
