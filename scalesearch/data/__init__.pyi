from .sources import SOURCES as SOURCES, Source as Source, load as load, source as source
