// Rings: to come.
