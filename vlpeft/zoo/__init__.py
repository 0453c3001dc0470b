"""The zoo: the folder it lies in, its table of contents, and the names of its configs."""
