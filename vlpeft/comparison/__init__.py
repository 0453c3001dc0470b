"""Comparison of methods: a study file says what is run, and every run leaves a record from which tables are made."""
