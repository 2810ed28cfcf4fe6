"""What can go wrong with the gallery."""


class GalleryError(Exception):
    """The gallery refused or cannot be used; `code` is short and stable."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
