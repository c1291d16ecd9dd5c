// HTTPFace: to come.
