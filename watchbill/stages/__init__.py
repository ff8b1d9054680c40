"""One verb each. They never import each other."""
