from .attach import load_clip as load_clip
