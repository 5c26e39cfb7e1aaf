"""What clients say and hear: the native protocol, the simple one, REST."""
