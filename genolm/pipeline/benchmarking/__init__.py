"""The parts of `genolm benchmark`: its settings, the divisions of the data, trainings, results, report."""
