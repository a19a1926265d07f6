"""Codecs as a user holds them: this project's own, other people's, whole files."""

SHIPPED = {  # name: decoder, C
    "framewise": ("fargan-large", 1),
    "framewise-small": ("fargan-small", 1),
    "framewise-tiny": ("fargan-tiny", 1),
    "general": ("lpcnet-384", 1),
    "general-small": ("lpcnet-256", 1),
    "personalized": ("lpcnet-256", 2),
}
LEARNED = {
    "soundstream": "soundstream-large",
    "soundstream-small": "soundstream-small",
    "soundstream-tiny": "soundstream-tiny",
}  # those of `pcodec.codecs.learned`
SEMANTIC = {"semantic": "semantic-small"}  # of `pcodec.codecs.semantic`
NAMES = [*SHIPPED, *LEARNED, *SEMANTIC]
DEFAULT = "framewise"  # the one that is used where none is asked for
