"""Real sockets on this machine, real clients, blocking and async."""
