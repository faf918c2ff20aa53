"""A reproduction of the supplement of *On Implicit Filter Level Sparsity in Convolutional Neural Networks*."""
