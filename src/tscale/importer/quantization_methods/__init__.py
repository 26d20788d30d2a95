"""The quantisation methods of files, by what they keep weights in; `readers` has them by name."""
