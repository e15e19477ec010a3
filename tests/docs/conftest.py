"""The commands in the documentation, run as they stand there: `make test-docs`. It takes minutes."""
