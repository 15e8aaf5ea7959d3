"""An evaluation as one page that needs nothing else, and the same as JSON."""
