"""Supervised conversations: reading, templating, mixing and drawing them."""
