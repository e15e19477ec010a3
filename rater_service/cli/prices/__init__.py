"""The commands about price files: check, diff, list, show and coverage, and how they show what they found."""
