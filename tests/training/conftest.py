"""Puts this folder on the path, so that the tests in the folders below find small_jobs.py."""
