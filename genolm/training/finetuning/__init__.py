"""What fine-tuning consists of: settings, targets and batches, models, methods, figures."""
