"""What a collection's rows look like, and how a server keeps it; as plain data."""
