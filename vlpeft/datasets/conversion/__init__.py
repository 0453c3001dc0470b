"""What the tools that convert data sets and store features share."""
