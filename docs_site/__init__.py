"""The documentation as a site: `make docs`. The pages are docs/, and what is written out of the code."""
