"""Real pretrained weights and images that come as packages, made into models and data sets of this project."""
