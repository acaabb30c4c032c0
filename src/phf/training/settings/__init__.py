"""From a configuration to the settings of a run: arguments, checks before it starts, its expected duration."""
