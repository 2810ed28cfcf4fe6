"""Frames to faces, faces to embeddings, embeddings to identity scores. Each step returns a new frozen value."""
