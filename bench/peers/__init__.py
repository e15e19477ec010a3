"""Gateways beside Phoebe: which there are, how each is started, and what each does and does not do."""
