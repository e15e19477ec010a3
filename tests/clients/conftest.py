"""The examples of docs/calling.md in other languages: `make test-clients`. They need Node and Go."""
