// Records: to come.
