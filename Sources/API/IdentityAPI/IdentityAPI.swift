// IdentityAPI: to come.
