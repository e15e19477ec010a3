"""What happens to a database with many events: `make test-scale`. It takes minutes."""
