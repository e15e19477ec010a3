"""What is generated from the wire contract in proto/phoebe. Made by `make proto`; not edited by hand."""
