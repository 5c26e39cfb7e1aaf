"""Looking at cassettes, and making others from them."""
