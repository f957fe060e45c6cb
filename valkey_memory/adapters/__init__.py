"""All that a framework face may use of the core, beside its public names."""
