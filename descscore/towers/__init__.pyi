from .cache import EmbeddingCache as EmbeddingCache
from .cache_export import export_images as export_images
