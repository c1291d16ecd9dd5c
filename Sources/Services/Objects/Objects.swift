// Objects: to come.
