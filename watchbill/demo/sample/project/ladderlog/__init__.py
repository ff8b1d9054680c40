"""The lending book of a street's tool shed."""
