"""How a disease goes on, predicted from ten measurements: a script as a pipeline."""
