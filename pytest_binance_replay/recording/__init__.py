"""Recording: from an exchange to a cassette, by command and in pytest."""
