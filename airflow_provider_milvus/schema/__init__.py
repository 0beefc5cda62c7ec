"""What a collection's rows look like, and how a server keeps them, as plain data."""
