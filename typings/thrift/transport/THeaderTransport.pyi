class THeaderClientType:
    HEADERS: int
    FRAMED_BINARY: int
    UNFRAMED_BINARY: int
