"""Everything in one process: web, workers, schedule and the receiving mail server. See run.py."""
