"""A classifier over a whole genome: tracks of its probability on both strands, and peaks."""
