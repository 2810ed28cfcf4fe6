"""Intent -> authorization -> receipt: signed values, the rules between them, and the store that loses none.

Nothing here opens a socket, reads a clock or sees a face.
"""
