"""The demonstration: the real parts with scripted traffic and a toy engine. Start it with `make demo`."""
