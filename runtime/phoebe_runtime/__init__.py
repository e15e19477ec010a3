"""What every program of Phoebe needs of its process: the log, background tasks, files that are followed, the
operators' port, spans. It knows neither the addon nor the rater.
"""
