"""How well people are told apart: a tool for anybody's data, and the evidence for the docs."""
