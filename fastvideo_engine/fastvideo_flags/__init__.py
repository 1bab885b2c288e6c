"""FastVideo's own commands: their flags, read as FastVideo reads them, and the specs that they ask for."""
