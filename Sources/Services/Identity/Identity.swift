// Identity: to come.
