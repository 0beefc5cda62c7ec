"""What the demo, the tests and the benchmarks share. Nothing in here is shipped with the provider."""
