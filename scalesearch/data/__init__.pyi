from .sources import Source as Source, load as load, source as source
