"""Training: the one loop, what it is fed with, and the three stages of ULMFiT."""
