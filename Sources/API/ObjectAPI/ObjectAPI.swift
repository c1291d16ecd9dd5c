// ObjectAPI: to come.
