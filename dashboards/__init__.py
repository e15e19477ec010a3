"""The Grafana dashboards, said in a few lines a panel: `make dashboards` writes deploy/grafana from it.

A panel is its title, its unit, what a reader should make of it, and its expressions, for whoever chooses a
datasource, jobs and instances at the top of the page.
"""
