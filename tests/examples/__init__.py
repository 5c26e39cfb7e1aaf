"""Bots and their tests, as a user would write them; the README shows them."""
