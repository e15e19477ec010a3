"""The commands about price files: check, diff, list, show and coverage."""
