"""From a configuration to the settings of a run: arguments, checks before it starts, what it will take."""
