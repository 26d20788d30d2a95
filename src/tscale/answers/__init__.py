"""One file a command: which questions it asks, and how the answers stand together in tables and in JSON.

Nothing here computes and nothing here formats: questions do the one (`tscale.core.costs`), renderers the other.
"""
