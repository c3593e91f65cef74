"""The definitions of our kinds, generated from the types that decode them."""
