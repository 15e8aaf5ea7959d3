"""What a training leaves on the disk: checkpoints, run folders; their locks, and full disks."""
