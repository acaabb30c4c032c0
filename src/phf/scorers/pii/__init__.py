"""Personal data per character, by scrubadub or Presidio."""
