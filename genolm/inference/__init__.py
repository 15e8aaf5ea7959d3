"""Using trained models: batched prediction."""
