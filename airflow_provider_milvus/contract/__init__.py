"""What this provider relies on in a Milvus server, and whether one server keeps it."""
