"""The leakage audit of labeled data: what a classifier could know without learning any biology."""
