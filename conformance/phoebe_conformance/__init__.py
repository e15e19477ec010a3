"""`phoebe conformance`: whether a model server says what Phoebe bills on, before it is put into service."""
