"""What a training runs on: processes, number formats, memory, and what a machine has."""
